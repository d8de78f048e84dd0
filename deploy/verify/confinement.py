"""Looks from inside a container at what its process may do: `python -m deploy.verify.confinement` prints it as JSON.

Found out by trying: a file is made, and removed again, in every directory of every file system that holds files.
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

_OF_THE_KERNEL = ("/proc", "/sys", "/dev")
_PROBE = ".dragoman-verify"
_COMPILERS = ("cc", "gcc", "clang", "tcc")


def writable(top: Path, left_out: Iterable[str] = _OF_THE_KERNEL) -> Iterator[str]:
    """The directories at and below `top` in which a file can be made."""
    skipped = set(left_out)
    for folder, below, _ in os.walk(top):
        below[:] = [name for name in below if str(Path(folder, name)) not in skipped]
        probe = Path(folder, _PROBE)
        try:
            probe.touch(exist_ok=False)
        except OSError:
            continue
        probe.unlink()
        yield folder


def report() -> dict[str, object]:
    """Who the process is, what it may do, and what it has no use for but has."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    places = [Path(folder) for folder in os.environ.get("PATH", "").split(":")]
    return {
        "user": os.getuid(),
        "group": os.getgid(),
        "capabilities": int(status["CapBnd"], 16) | int(status["CapEff"], 16),
        "new_privileges": status.get("NoNewPrivs", "0") == "0",
        "writable": sorted(writable(Path("/"))),
        "compilers": sorted(str(place / name) for place in places for name in _COMPILERS if (place / name).exists()),
        "pip": any(Path(place, "pip").is_dir() for place in sys.path),
    }


if __name__ == "__main__":
    print(json.dumps(report()))
