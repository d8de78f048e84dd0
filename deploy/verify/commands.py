"""Runs other programs to their end."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.verify.table import VerifyError

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / ".run" / "verify"
"""Where everything is kept that is fetched or made on the way."""

_LINES_TOLD = 25


def run(
    command: Sequence[str | Path],
    *,
    seconds: float,
    environment: Mapping[str, str] | None = None,
    directory: Path = ROOT,
    whole_environment: bool = False,
) -> str:
    """Runs a command and returns what it wrote to standard output.

    Args:
        command: the program and its arguments; nothing secret, since everybody on the machine can read those.
        seconds: how long it may take.
        environment: what it is told beside, or with `whole_environment` instead of, the environment of this process.
        directory: where it runs.
        whole_environment: whether `environment` is all.

    Raises:
        VerifyError: it failed or took too long, with the end of what it wrote.
    """
    told = dict(environment or {}) if whole_environment else {**os.environ, **(environment or {})}
    name = " ".join([Path(command[0]).name, *(str(part) for part in command[1:4])])
    try:
        ended = subprocess.run(
            command,
            check=False,
            cwd=directory,
            env=told,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        raise VerifyError(f"{name}: not done after {seconds:.0f} s") from None
    except OSError as error:
        raise VerifyError(f"{name}: cannot be started: {error.strerror}") from None
    if ended.returncode != 0:
        lines = (ended.stdout + ended.stderr).strip().splitlines()[-_LINES_TOLD:] or [""]
        raise VerifyError("\n".join([f"{name}: exit status {ended.returncode}: {lines[-1]}", *lines]))
    return ended.stdout


def succeeds(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> bool:
    """Whether a command that only looks at something, and does not take long, ends with 0."""
    try:
        run(command, seconds=30, environment=environment)
    except VerifyError:
        return False
    return True
