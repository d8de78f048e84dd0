"""What the operating system knows about processes that are not our own children."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """A process id together with its start time, so that a number that was given out again is not mistaken for it."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> "Process":
        """The process that has this id now; one that has ended has no start time."""
        return cls(pid, _started(pid))

    @classmethod
    def parse(cls, text: str) -> "Process | None":
        """Reads what `str` wrote; None for anything else."""
        pid, _, started = text.strip().partition(" ")
        return cls(int(pid), started) if pid.isdigit() and started else None

    def __str__(self) -> str:
        return f"{self.pid} {self.started}"

    @property
    def alive(self) -> bool:
        """Whether it still runs (a zombie does not)."""
        return self.started != "" and _started(self.pid) == self.started

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal if it still runs."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def descendants(pid: int) -> list[Process]:
    """Everything below a process; empty where there is no /proc."""
    children: dict[int, list[int]] = {}
    for entry in PROC.glob("[0-9]*"):
        if fields := _stat(int(entry.name)):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[int] = []
    level = [pid]
    while level:
        level = [child for parent in level for child in children.get(parent, [])]
        found += level
    return [Process.of(child) for child in found]


def wait_until_gone(processes: Iterable[Process], deadline: float = 5.0) -> None:
    """Waits until all of them have ended; kills those that still run after `deadline` seconds."""
    end = time.monotonic() + deadline
    left = list(processes)
    while left := [process for process in left if process.alive]:
        if time.monotonic() > end:
            for process in left:
                process.signal(signal.SIGKILL)
        time.sleep(0.01)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from the third (the state) on; empty when there is no such process."""
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _started(pid: int) -> str:
    """When a process was started, in a form that can only be compared; empty once it has ended."""
    if PROC.joinpath("self").exists():
        fields = _stat(pid)
        return fields[19] if fields and fields[0] not in "ZX" else ""
    if (ps := shutil.which("ps")) is None:
        return ""
    return subprocess.run(
        [ps, "-o", "lstart=", "-p", str(pid)], check=False, capture_output=True, text=True
    ).stdout.strip()
