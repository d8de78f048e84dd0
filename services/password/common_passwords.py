"""The shipped list of passwords that attackers try first; where it comes from is said in its first lines."""

from pathlib import Path

_FILE = Path(__file__).with_name("common_passwords.txt")


def load() -> frozenset[str]:
    """The list in lower case, to be read once at start."""
    lines = _FILE.read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("# "))
