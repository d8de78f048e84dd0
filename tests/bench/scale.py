"""Whether requests cost more with a million users than with a thousand, or while expired sessions are deleted.

    make bench-scale
    .venv/bin/python -m tests.bench.scale --users 50000 --sessions 200000 --seconds 1

Runs two platforms, each on servers of its own: a small one with a thousand users, and a large one. Both are asked the
same, one right after the other, so that what else the machine does falls on both: at first as they are, then while
every fifth session of the large one has expired and is being deleted. client_credentials touches nothing that grows:
as far as its ratios are from 1 by chance, the others may be too.

Ends with status 1 when any answer was wrong, never because a ratio is too large.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop
from aiohttp import ClientSession

from deploy.servers.places import remove
from services.token.domain.refresh_tokens import RefreshTokens
from services.token.settings import TokenSettings
from shared.settings import decode_key
from shared.telemetry import configure_logging
from tests.bench.accounting import Accounting, Elsewhere
from tests.bench.facts import facts, keep
from tests.bench.load import provide_wrk
from tests.bench.measuring import Figure, measure
from tests.bench.operations import Stage
from tests.bench.running import LIMITS, BenchPlatform, running_platform
from tests.bench.scale_data import Data, Size
from tests.bench.scale_loads import OPERATIONS, Crowd
from tests.bench.scale_results import Pair, Phase, document, text
from tests.support.platform import ROOT
from tests.support.waiting import eventually

SMALL_USERS = 1_000
CONNECTIONS = 16

_BEGUN_SECONDS = 60.0
_SETTINGS = {
    "DRAGOMAN_GATEWAY_LIMITS": LIMITS,
    # Longer than any run.
    "DRAGOMAN_TOKEN_ACCESS_SECONDS": "86400",
    "DRAGOMAN_TOKEN_DIRECTUS_ACCESS_SECONDS": "86400",
}


class Side:
    """One platform, and a crowd of its users."""

    def __init__(self, name: str, size: Size, platform: BenchPlatform, data: Data, stage: Stage) -> None:
        self.name = name
        self.size = size
        self.platform = platform
        self.data = data
        self._stage = stage
        key = decode_key(TokenSettings.load(platform.environment).refresh_key)
        self._crowd = Crowd(stage, size, RefreshTokens(key))

    @classmethod
    @asynccontextmanager
    async def running(cls, name: str, size: Size, home: Path, http: ClientSession) -> AsyncIterator["Side"]:
        """Start a platform and make users and sessions."""
        say(f"{name}: starting the platform")
        async with (
            running_platform(home / name, settings=_SETTINGS) as platform,
            Data.connected(platform.environment["DRAGOMAN_POSTGRES_URL"]) as data,
        ):
            stage = await Stage.set(platform, http)
            loop = asyncio.get_running_loop()
            started_at = loop.time()
            say(f"{name}: making {size}")
            await data.fill(size, stage.users[0])
            say(f"{name}: made in {loop.time() - started_at:.0f} s, {await data.mebibytes():,.0f} MiB")
            side = cls(name, size, platform, data, stage)
            await side._crowd.sign_on(await data.counters())
            yield side

    @property
    def processes(self) -> dict[str, list[int]]:
        """The process ids of each component and server, under names that no other side has."""
        return {f"{self.name} {name}": pids for name, pids in self.platform.processes.items()}

    async def measured(self, operation: str, seconds: int) -> Figure:
        """One operation, asked by other members of the crowd each time."""
        load = self._crowd.load(operation, await self.data.counters())
        return await measure(self._stage.url, load, CONNECTIONS, seconds, Accounting(self.platform.processes))


class Bench:
    """Measures both sides in turn, and says on standard error what it is at."""

    def __init__(self, small: Side, large: Side, seconds: int, rounds: int) -> None:
        self._small = small
        self._large = large
        self._seconds = seconds
        self._rounds = rounds

    async def quiet(self) -> Phase:
        """As they are."""

        async def always() -> bool:
            return True

        return await self._phase("at rest", always)

    async def cleaning(self) -> Phase:
        """While a fifth of the large side's sessions, which have expired, are deleted; no longer than that takes."""
        say("letting sessions expire")
        data = self._large.data
        for side in (self._small, self._large):
            side.platform.end("token")  # a new one begins to delete at once, and not before all have expired
        await data.expire(self._large.size)
        expired = await data.expired()
        for side in (self._small, self._large):
            await side.platform.bring()

        async def begun() -> bool | None:
            return True if await data.expired() < expired else None

        async def some_left() -> bool:
            return await data.expired() > 0

        await eventually(begun, _BEGUN_SECONDS, "expired sessions are deleted")
        loop = asyncio.get_running_loop()
        before, started_at = await data.expired(), loop.time()
        phase = await self._phase("while expired sessions are deleted", some_left)
        left, took = await data.expired(), loop.time() - started_at
        rate = (before - left) / took
        phase.notes.append(f"deleted meanwhile: {before - left:,} sessions, {rate:,.0f} a second; left: {left:,}")
        if not left:
            phase.notes.append("none was left at the end: some of this was measured with nothing to delete")
        return phase

    async def _phase(self, name: str, goes_on: Callable[[], Awaitable[bool]]) -> Phase:
        """At least one round."""
        phase = Phase(name)
        elsewhere = Elsewhere(Accounting(self._small.processes | self._large.processes))
        before, in_place_before = await self._large.data.updates()
        for number in range(self._rounds):
            if number and not await goes_on():
                break
            for operation in OPERATIONS:
                say(f"{name}, round {number + 1}: {operation}")
                phase.pairs.append(await self._pair(operation, large_first=number % 2 == 1))
        after, in_place_after = await self._large.data.updates()
        share = (in_place_after - in_place_before) / max(1, after - before)
        phase.notes.append(f"refreshes that changed no index: {share:.1%}")
        phase.notes.append(f"the large side's database: {await self._large.data.mebibytes():,.0f} MiB")
        phase.notes.append(f"cores that were busy with something else meanwhile: {elsewhere.cores():.2f}")
        return phase

    async def _pair(self, operation: str, *, large_first: bool) -> Pair:
        sides = (self._large, self._small) if large_first else (self._small, self._large)
        figures = {side.name: await side.measured(operation, self._seconds) for side in sides}
        return Pair(figures[self._small.name], figures[self._large.name])


def say(what: str) -> None:
    """Tell somebody who waits."""
    sys.stderr.write(f"… {what}\n")


async def main(size: Size, seconds: int, rounds: int) -> bool:
    """Measure, print and keep; whether every answer was right."""
    configure_logging("error")
    await asyncio.to_thread(provide_wrk)
    home = Path(tempfile.mkdtemp(prefix="dragoman-bench-"))
    try:
        async with (
            ClientSession() as http,
            Side.running("small", Size(SMALL_USERS, SMALL_USERS * size.each), home, http) as small,
            Side.running("large", size, home, http) as large,
        ):
            bench = Bench(small, large, seconds, rounds)
            phases = (await bench.quiet(), await bench.cleaning())
            machine = await facts(large.platform)
    finally:
        remove(home)
    sizes = f"small: {small.size}; large: {size}; connections: {CONNECTIONS}"
    found = {"machine": machine, "sizes": sizes, "seconds": seconds, "rounds": rounds, **document(phases)}
    sys.stdout.write(f"{sizes}\n\n{text(phases)}\n{keep('scale', found).relative_to(ROOT)}\n")
    return not any(phase.wrong for phase in phases)


def options() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description="Measure whether requests cost more with a million users.")
    parser.add_argument("--users", type=int, default=1_000_000, help="of the large side (%(default)s)")
    parser.add_argument("--sessions", type=int, default=5_000_000, help="the same number for each (%(default)s)")
    parser.add_argument("--seconds", type=int, default=2, help="for each operation in each round (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="of which the median counts (%(default)s)")
    given = parser.parse_args()
    if given.users < SMALL_USERS or given.sessions % given.users:
        parser.error(f"at least {SMALL_USERS:,} users, and the same number of sessions for each")
    return given


if __name__ == "__main__":
    asked = options()
    sys.exit(0 if uvloop.run(main(Size(asked.users, asked.sessions), asked.seconds, asked.rounds)) else 1)
