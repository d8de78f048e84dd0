"""Password sign-ins beside bare argon2id, on all cores and where hashing may use half of them."""

import asyncio
from dataclasses import dataclass

from tests.bench.accounting import Accounting
from tests.bench.floors import Floor, argon2id, cores
from tests.bench.measuring import Figure, measure
from tests.bench.operations import Operation, Stage
from tests.bench.running import BenchPlatform

HALF = max(1, cores() // 2)
"""Hashes at once when the rest of the platform, the servers and the driver are to have a core each beside them."""

_CONNECTIONS = 64
_ROUNDS = 5


@dataclass(frozen=True)
class SignIns:
    """Sign-ins, and bare argon2id right before and right after in as many threads: `hashers`."""

    figure: Figure
    hashers: int
    before: Floor
    after: Floor

    @property
    def bare_per_second(self) -> float:
        """Bare verifications a second."""
        return (self.before.per_second + self.after.per_second) / 2

    @property
    def bare_cpu_us(self) -> float:
        """CPU-µs of a bare verification."""
        return (self.before.cpu_us["python"] + self.after.cpu_us["python"]) / 2

    @property
    def ratio(self) -> float:
        """The rate against the bare one."""
        return self.figure.outcome.per_second / self.bare_per_second

    @property
    def remaining(self) -> float:
        """The share of all cores that the driver and all but the password service have left to the hashes."""
        outcome = self.figure.outcome
        others = (self.figure.all_cpu_us - self.figure.cpu_us["password"]) * outcome.requests / 1e6
        return 1 - (others + outcome.driver_cpu_seconds) / outcome.seconds / cores()


async def on_all_cores(
    stage: Stage, operation: Operation, connections: int, seconds: int, accounting: Accounting
) -> SignIns:
    """A hash for each core, or for each connection where there are fewer, with everything else on the same cores."""
    hashers = min(connections, cores())
    load = await operation.load(stage, connections)
    before = await argon2id(hashers)
    figure = await measure(stage.url, load, connections, seconds, accounting)
    return SignIns(figure, hashers, before, await argon2id(hashers))


async def on_half_of_the_cores(
    platform: BenchPlatform, stage: Stage, operation: Operation, seconds: int
) -> list[SignIns]:
    """The same where `password` makes `HALF` hashes at once, which replaces its process; some rounds of it.

    It is how a service is run that has cores of its own: bare hashes in as many threads are all that these could do.
    """
    await asyncio.to_thread(platform.end, "password")
    await platform.start("password", DRAGOMAN_PASSWORD_WORKERS=str(HALF)).ready()
    accounting = Accounting(platform.processes)
    load = await operation.load(stage, _CONNECTIONS)
    rounds = []
    before = await argon2id(HALF)
    for _ in range(_ROUNDS):
        figure = await measure(stage.url, load, _CONNECTIONS, seconds, accounting)
        after = await argon2id(HALF)
        rounds.append(SignIns(figure, HALF, before, after))
        before = after
    return rounds
