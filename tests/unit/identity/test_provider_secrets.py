"""Client secrets as they are mounted."""

from pathlib import Path

import pytest

from services.identity.providers.secrets import ProviderSecrets
from shared.errors import Error


def test_secrets_are_read_at_each_use(tmp_path: Path) -> None:
    """A secret is what its file says, without the line's end, and a new one counts at once."""
    secrets = ProviderSecrets(str(tmp_path))
    (tmp_path / "example").write_text(" first secret of it\n")
    assert secrets.read("example") == "first secret of it"
    (tmp_path / "example").write_text("second secret of it")
    assert secrets.read("example") == "second secret of it"


@pytest.mark.parametrize("name", ["another", "empty", "binary", "folder", "../outside", "", ".hidden"])
def test_no_secret(tmp_path: Path, name: str) -> None:
    """A secret that is not there is told by its name, and nothing outside of the directory is one."""
    mounted = tmp_path / "mounted"
    (mounted / "folder").mkdir(parents=True)
    (tmp_path / "outside").write_text("something else")
    (mounted / ".hidden").write_text("something else")
    (mounted / "empty").write_text("\n")
    (mounted / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(Error, match=rf"no client secret {name}") as caught:
        ProviderSecrets(str(mounted)).read(name)
    assert caught.value.code == "unavailable"


def test_no_directory() -> None:
    """Without the setting there are no secrets, not those of the working directory."""
    with pytest.raises(Error, match="no client secret"):
        ProviderSecrets("").read("pyproject.toml")
