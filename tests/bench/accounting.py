"""Who has used how much CPU, and how much memory: whole process trees, read from /proc."""

import os
import resource
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.servers.processes import descendants

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_MIB = 1024


class Accounting:
    """CPU time and memory by name, of processes with everything below them.

    Linux counts a process's time in steps of its clock, ten milliseconds as a rule, and adds that of a child that has
    ended to its parent: nothing is lost when PostgreSQL ends a connection's process.
    """

    def __init__(self, processes: Mapping[str, Sequence[int]]) -> None:
        """`processes` names the process ids at the top of each tree."""
        self._processes = dict(processes)
        self.memory_kind = "PSS" if self._has_shares() else "RSS"
        """What `memory` tells unless it is asked for RSS."""

    @property
    def names(self) -> list[str]:
        """The names, in their order."""
        return list(self._processes)

    def snapshot(self) -> dict[str, float]:
        """CPU seconds that each has used so far."""
        return {name: sum(map(_cpu_seconds, self._tree(name))) for name in self._processes}

    def memory(self, kind: str = "") -> dict[str, float]:
        """MiB that each has now: PSS, which divides what processes share between them, or RSS, which does not.

        RSS is nearer to what a process needs alone in a container, PSS to what many of one program need together.
        """
        read = _rss_kib if (kind or self.memory_kind) == "RSS" else _pss_kib
        return {name: sum(map(read, self._tree(name))) / _MIB for name in self._processes}

    def _tree(self, name: str) -> list[int]:
        top = self._processes[name]
        return [*top, *(process.pid for pid in top for process in descendants(pid))]

    def _has_shares(self) -> bool:
        pids = [pid for name in self._processes for pid in self._tree(name)]
        return all(_field(pid, "smaps_rollup", "Pss") is not None for pid in pids if _stat(pid) is not None)


def difference(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """What each has used between two snapshots, in seconds."""
    return {name: after[name] - before[name] for name in before}


def cpu_ticks(stat: str) -> int:
    """The clock ticks in the text of /proc/<pid>/stat: the process's own and those of its ended children."""
    # The name, in parentheses, may itself contain spaces and parentheses.
    fields = stat.rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15])


class Elsewhere:
    """What the machine does beside the measurement, which disturbs it: from when this is made."""

    def __init__(self, accounting: Accounting) -> None:
        """`accounting` knows the processes that are measured; this one and its children that end count with them."""
        self._accounting = accounting
        self._since = time.monotonic()
        self._before = self._cpu_seconds()

    def cores(self) -> float:
        """How many cores others have kept busy, or the host has taken away; 0 where the system does not tell."""
        return max(0.0, self._cpu_seconds() - self._before) / (time.monotonic() - self._since)

    def _cpu_seconds(self) -> float:
        try:
            fields = _PROC.joinpath("stat").read_text().splitlines()[0].split()[1:9]
        except OSError:
            return 0.0
        user, nice, system, _idle, _waiting, *rest = map(int, fields)
        own = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        ours = sum(one.ru_utime + one.ru_stime for one in own) + sum(self._accounting.snapshot().values())
        return (user + nice + system + sum(rest)) / _TICKS - ours


def _cpu_seconds(pid: int) -> float:
    stat = _stat(pid)
    return 0.0 if stat is None else cpu_ticks(stat) / _TICKS


def _stat(pid: int) -> str | None:
    try:
        return (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:  # it has ended
        return None


def _pss_kib(pid: int) -> int:
    return _field(pid, "smaps_rollup", "Pss") or 0


def _rss_kib(pid: int) -> int:
    return _field(pid, "status", "VmRSS") or 0


def _field(pid: int, file: str, name: str) -> int | None:
    """The number of KiB in a line `Name:  123 kB`; None where there is none, or it may not be read."""
    try:
        text = (_PROC / str(pid) / file).read_text(errors="replace")
    except OSError:
        return None
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name}:")), None)
