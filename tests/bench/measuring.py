"""One figure: a load is driven, and what each component has used for it is divided by the successes."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from tests.bench.accounting import Accounting, difference
from tests.bench.load import Load, Outcome, drive, warm_up

_LOOK_SECONDS = 0.2
_QUIET_CORES = 0.2
_SETTLED_SECONDS = 10.0


@dataclass(frozen=True)
class Figure:
    """What came of one load at one number of connections; `cpu_us` is CPU-µs per success, by name."""

    operation: str
    connections: int
    outcome: Outcome
    cpu_us: Mapping[str, float]

    @property
    def all_cpu_us(self) -> float:
        """CPU-µs per success of all together; the driver's own is not in it."""
        return sum(self.cpu_us.values())


async def measure(url: str, load: Load, connections: int, seconds: int, accounting: Accounting) -> Figure:
    """Warm up, wait until that is over and done with, then drive the load and count.

    A chained load needs twice as many tokens as a single run, and uses all of them up.
    """
    warming, counted = (load.part(0, 2), load.part(1, 2)) if load.chain else (load, load)
    await warm_up(url, warming, connections)
    await settle(accounting)
    async with asyncio.TaskGroup() as group:
        driven = group.create_task(drive(url, counted, connections, seconds))
        await asyncio.sleep(load.ramp_seconds)
        before = accounting.snapshot()
    outcome, used = driven.result(), difference(before, accounting.snapshot())
    await settle(accounting)
    return Figure(load.name, connections, outcome, per_success(used, outcome.requests))


def per_success(used: Mapping[str, float], successes: int) -> dict[str, float]:
    """CPU seconds as µs for each success; none at all where nothing succeeded, which is an error elsewhere."""
    return {name: seconds * 1e6 / successes if successes else 0.0 for name, seconds in used.items()}


async def settle(accounting: Accounting) -> None:
    """Return once almost nothing is done any more, or after ten seconds.

    A driver that ends leaves requests behind, and passwords go on being hashed for callers who have gone.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + _SETTLED_SECONDS
    while loop.time() < end:
        before = accounting.snapshot()
        await asyncio.sleep(_LOOK_SECONDS)
        if sum(difference(before, accounting.snapshot()).values()) <= _QUIET_CORES * _LOOK_SECONDS:
            return


@dataclass(frozen=True)
class Repeated:
    """How often something was done in `seconds`, what this process used for it, and how long each turn took."""

    number: int
    seconds: float
    cpu_seconds: float
    p50_ms: float
    p99_ms: float


async def repeat(work: Callable[[int], Awaitable[object]], at_once: int, seconds: float) -> Repeated:
    """Do `work` again and again from this process, `at_once` at a time; each is given its number among these."""
    took: list[float] = []

    async def one(number: int) -> None:
        while (started := time.perf_counter()) < end:  # the time of uvloop's loop goes by milliseconds
            await work(number)
            took.append(time.perf_counter() - started)

    started, cpu_before = time.perf_counter(), time.process_time()
    end = started + seconds
    await asyncio.gather(*map(one, range(at_once)))
    elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu_before
    return Repeated(len(took), elapsed, cpu, percentile(took, 0.5) * 1000, percentile(took, 0.99) * 1000)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that so much of them does not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
