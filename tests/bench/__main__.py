"""Every operation of the platform beside the machine's own floors.

    make bench
    .venv/bin/python -m tests.bench --only client_credentials,bus --connections 64 --seconds 10

Runs the platform on private servers that keep what they confirm, each component a process, all on the cores of this
machine together with the driver (wrk). The CPU time of each component and server is divided by the successful
requests. Ratios are what to read: absolute figures are those of one machine on one day.

Ends with status 1 when any answer was wrong, never because a figure is slow.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import uvloop
from aiohttp import ClientSession

from deploy.servers.places import remove
from shared.telemetry import configure_logging
from tests.bench.accounting import Accounting, Elsewhere, difference
from tests.bench.bus_calls import bus_calls
from tests.bench.facts import facts, keep
from tests.bench.floors import all_floors
from tests.bench.load import provide_wrk
from tests.bench.measuring import measure, settle
from tests.bench.operations import OPERATIONS, SIGN_INS, Operation, Stage
from tests.bench.report import text
from tests.bench.results import Memory, Results
from tests.bench.running import LIMITS, BenchPlatform, running_platform
from tests.bench.saturated import Lags, saturated
from tests.bench.sign_ins import on_all_cores, on_half_of_the_cores
from tests.support.platform import ROOT, Platform

SIGN_INS_ON_HALF = "sign-in-on-half-of-the-cores"
PARTS = ("floors", *(one.name for one in OPERATIONS), "bus", "saturated", SIGN_INS_ON_HALF)

_IDLE_SECONDS = 3.0
_BUS_AT_ONCE = (1, 64)


class Bench:
    """Measures on one platform, and says on standard error what it is at."""

    def __init__(self, stage: Stage, accounting: Accounting, results: Results, seconds: int) -> None:
        self._stage = stage
        self._accounting = accounting
        self._results = results
        self._seconds = seconds

    async def floors(self, home: Path, environment: Mapping[str, str]) -> None:
        """What nothing can be cheaper than."""
        say("floors")
        urls = (environment["DRAGOMAN_REDIS_URL"], environment["DRAGOMAN_POSTGRES_URL"])
        self._results.floors += await all_floors(home, *urls, self._accounting)

    async def operation(self, operation: Operation, connections: int) -> None:
        """One operation at one number of connections."""
        say(f"{operation.name}, connections: {connections}")
        if operation.name in SIGN_INS:
            found = await on_all_cores(self._stage, operation, connections, self._seconds, self._accounting)
            self._results.sign_ins.append(found)
            self._results.operations.append(found.figure)
        else:
            load = await operation.load(self._stage, connections)
            figure = await measure(self._stage.url, load, connections, self._seconds, self._accounting)
            self._results.operations.append(figure)

    async def bus(self, platform: Platform) -> None:
        """Calls without HTTP."""
        for at_once in _BUS_AT_ONCE:
            say(f"bus, calls at once: {at_once}")
            self._results.bus.append(await bus_calls(platform, self._accounting, at_once, self._seconds))

    async def saturated(self, lags: Lags) -> None:
        """Others beside sign-ins."""
        say("others beside sign-ins")
        self._results.saturated = await saturated(self._stage, self._accounting, lags, self._seconds)

    async def sign_ins_on_half(self, platform: BenchPlatform) -> None:
        """Sign-ins where the hashes have half of the cores; afterwards `password` is another process."""
        say("sign-ins on half of the cores")
        operation = next(one for one in OPERATIONS if one.name == SIGN_INS[0])
        self._results.sign_ins_on_half += await on_half_of_the_cores(platform, self._stage, operation, self._seconds)


def say(what: str) -> None:
    """Tell somebody who waits."""
    sys.stderr.write(f"… {what}\n")


async def idle_cpu(accounting: Accounting) -> dict[str, float]:
    """CPU-ms a second of each while nobody asks anything."""
    before = accounting.snapshot()
    await asyncio.sleep(_IDLE_SECONDS)
    used = difference(before, accounting.snapshot())
    return {name: seconds * 1000 / _IDLE_SECONDS for name, seconds in used.items()}


async def main(only: Collection[str], connections: Sequence[int], seconds: int) -> bool:
    """Measure, print and keep; whether every answer was right."""
    configure_logging("error")
    await asyncio.to_thread(provide_wrk)
    home = Path(tempfile.mkdtemp(prefix="dragoman-bench-"))
    try:
        say("starting the platform")
        settings = {"DRAGOMAN_GATEWAY_LIMITS": LIMITS}
        async with running_platform(home, settings=settings) as platform, ClientSession() as http:
            accounting = Accounting(platform.processes)
            lags = await Lags.of(platform, http)
            machine = await facts(platform)
            elsewhere = Elsewhere(accounting)
            say("idle")
            await settle(accounting)
            memory = Memory(accounting.memory_kind, accounting.memory(), accounting.memory("RSS"))
            results = Results(await idle_cpu(accounting), memory)
            bench = Bench(await Stage.set(platform, http), accounting, results, seconds)
            if "floors" in only:
                await bench.floors(home, platform.environment)
            for operation in OPERATIONS:
                for number in connections if operation.name in only else ():
                    await bench.operation(operation, number)
            if "bus" in only:
                await bench.bus(platform)
            if "saturated" in only:
                await bench.saturated(lags)
            memory.loaded.update(accounting.memory())
            results.elsewhere_cores = elsewhere.cores()
            if SIGN_INS_ON_HALF in only:
                await bench.sign_ins_on_half(platform)
    finally:
        remove(home)
    kept = keep("operations", {"machine": machine, "seconds": seconds, **results.document()})
    sys.stdout.write(f"{text(results)}\n{kept.relative_to(ROOT)}\n")
    return not results.wrong


def options() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description="Measure every operation beside the machine's own floors.")
    parser.add_argument("--seconds", type=int, default=5, help="for each operation at each number of connections")
    parser.add_argument("--only", default=",".join(PARTS), help="what to measure, with commas (%(default)s)")
    parser.add_argument("--connections", default="1,16,64", help="with commas (%(default)s)")
    given = parser.parse_args()
    given.only = given.only.split(",")
    if unknown := set(given.only) - set(PARTS):
        parser.error(f"{', '.join(sorted(unknown))}: there are only {', '.join(PARTS)}")
    given.connections = [int(number) for number in given.connections.split(",")]
    return given


if __name__ == "__main__":
    asked = options()
    sys.exit(0 if uvloop.run(main(asked.only, asked.connections, asked.seconds)) else 1)
