"""Client secrets, which are mounted as files and nowhere else."""

from pathlib import Path

from services.identity.domain.providers import SECRET_NAME
from shared.errors import unavailable


class ProviderSecrets:
    """Reads secrets by name, at each use: one that was replaced counts at once."""

    def __init__(self, directory: str) -> None:
        """`directory` has a file for each secret; empty: there are none."""
        self._directory = directory

    def read(self, name: str) -> str:
        """The secret without white space around it. Raises `unavailable` when there is none of that name."""
        try:
            if not self._directory or not SECRET_NAME.fullmatch(name):
                raise FileNotFoundError
            secret = (Path(self._directory) / name).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            secret = ""
        if not secret:
            raise unavailable(f"there is no client secret {name} among those mounted for identity")
        return secret
