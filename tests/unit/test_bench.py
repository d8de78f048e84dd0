"""What the benchmarks compute, where a mistake would look like a figure."""

import asyncio
import os
import sys

from tests.bench.accounting import Accounting, cpu_ticks, difference


def stat_line(name: str) -> str:
    """A line of /proc/<pid>/stat: 7 and 5 ticks of its own, 3 and 2 of children."""
    return f"42 ({name}) S 1 42 42 0 -1 4194304 100 200 0 0 7 5 3 2 20 0 1 0 12345 1000 100 18446744073709551615"


def test_ticks_are_the_process_s_and_its_children_s() -> None:
    """User and system time, of the process and of its ended children."""
    assert cpu_ticks(stat_line("python3")) == 17


def test_a_name_may_look_like_fields() -> None:
    """The name of a process is whatever it likes."""
    assert cpu_ticks(stat_line("a) S 1 (b 9 9")) == 17


async def test_a_child_that_has_ended_is_counted_with_its_parent() -> None:
    """PostgreSQL ends processes all the time; their work was done all the same."""
    accounting = Accounting({"here": [os.getpid()]})
    before = accounting.snapshot()
    spin = "import time\nwhile time.process_time() < 0.3: pass"
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", spin)
    async with asyncio.timeout(10.0):
        assert await child.wait() == 0
    assert difference(before, accounting.snapshot())["here"] > 0.25


def test_a_process_that_has_gone_uses_nothing() -> None:
    """A component that has died must not end the measurement."""
    accounting = Accounting({"gone": [2**22 + 1]})
    assert accounting.snapshot() == {"gone": 0.0}
    assert accounting.memory() == {"gone": 0.0}


def test_memory_is_in_mib() -> None:
    """The kernel tells KiB."""
    assert 5 < Accounting({"here": [os.getpid()]}).memory()["here"] < 4096
