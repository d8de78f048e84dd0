"""What a second replica of `token` adds, each pinned to a core of its own.

    make bench-replicas

This process calls token.grant_client_credentials.v1 over the bus, without HTTP, and takes turns: one replica, two, one,
two. It, the broker and PostgreSQL share the same two cores, so calls a second can only double where `token` needs
nearly all of the CPU: they do so with RS256 keys, of which a signature takes half a millisecond. With ES256 the rest
needs about as much as `token`, and two cores cannot show what two replicas could do. Therefore the capacity stands
beside it: the calls that replicas with a whole core each would answer, at the CPU time per call that was measured. It
shows what two replicas lose to smaller groups; what they lose to an uneven share only the calls a second show.
Linux only, since no other system lets a process be bound to a core.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import get_args

import uvloop
from pydantic import SecretStr

from cli.operator import operator_bus
from deploy.servers.places import remove
from shared import context
from shared.bus.rabbit import RabbitBus
from shared.contracts.token import CreateClient, GrantClientCredentials, RotateSigningKey, SigningAlgorithm
from shared.telemetry import configure_logging
from tests.bench.accounting import Accounting, difference
from tests.bench.bus_calls import gateway_bus
from tests.bench.facts import facts, keep
from tests.bench.measuring import repeat, settle
from tests.bench.running import BenchPlatform, running_platform
from tests.support.platform import ROOT, Platform, Replica

AT_ONCE = 128
"""Two full groups for each replica, so that none is without work while an answer is under way."""
TARGET = 1.6

_ALGORITHMS: tuple[SigningAlgorithm, ...] = ("RS256", "ES256")
_WARM_UP_SECONDS = 0.5
_CALL_SECONDS = 10.0


@dataclass(frozen=True)
class Round:
    """One measurement: calls a second, and the share of a core that each has used.

    `token_shares` has a share for each replica; `others` are this process and whatever else is not `token`.
    """

    per_second: float
    token_shares: Sequence[float]
    others: Mapping[str, float]

    @property
    def capacity(self) -> float:
        """Calls a second if each replica had a whole core, at the CPU time per call of this round."""
        return self.per_second * len(self.token_shares) / sum(self.token_shares)


@dataclass(frozen=True)
class Comparison:
    """One replica against two, turn by turn."""

    algorithm: str
    one: Sequence[Round]
    two: Sequence[Round]

    @property
    def throughput_ratio(self) -> float:
        """Calls a second of two against one: the median of turns that followed each other."""
        return median(two.per_second / one.per_second for one, two in zip(self.one, self.two, strict=True))

    @property
    def capacity_ratio(self) -> float:
        """The same of the capacities."""
        return median(two.capacity / one.capacity for one, two in zip(self.one, self.two, strict=True))


async def prepare(platform: Platform) -> GrantClientCredentials:
    """A client with a secret that the platform generated, and what it asks."""
    async with operator_bus(platform.environment) as bus:
        with context.request("bench", _CALL_SECONDS):
            made = await bus.call(CreateClient(client_id="bench", grants=["client_credentials"]))
    assert made.client_secret is not None
    secret = SecretStr(made.client_secret.get_secret_value())
    return GrantClientCredentials(client_id="bench", client_secret=secret)


async def sign_with(platform: Platform, algorithm: SigningAlgorithm) -> None:
    """Have new tokens signed by a key of this algorithm from now on."""
    async with operator_bus(platform.environment) as bus:
        with context.request("bench", _CALL_SECONDS):
            await bus.call(RotateSigningKey(algorithm=algorithm, at_once=True))


async def one_round(
    platform: BenchPlatform, bus: RabbitBus, ask: GrantClientCredentials, replicas: int, seconds: float
) -> Round:
    """Have so many replicas, each on a core of its own, and ask them."""
    running = await have(platform, replicas)

    async def call(number: int) -> None:
        with context.request(f"bench-{number}", _CALL_SECONDS):
            await bus.call(ask)

    processes = {name: pids for name, pids in platform.processes.items() if name != "token"}
    tokens = {f"token {number}": [replica.process.pid] for number, replica in enumerate(running)}
    accounting = Accounting({**tokens, **processes})
    await repeat(call, AT_ONCE, _WARM_UP_SECONDS)
    before = accounting.snapshot()
    done = await repeat(call, AT_ONCE, seconds)
    used = difference(before, accounting.snapshot())
    await settle(accounting)
    shares = {name: cpu / done.seconds for name, cpu in used.items()}
    others = {"caller": done.cpu_seconds / done.seconds, **{name: shares[name] for name in processes}}
    return Round(done.number / done.seconds, [shares[name] for name in tokens], others)


async def have(platform: BenchPlatform, replicas: int) -> list[Replica]:
    """Exactly so many replicas of `token`, the first on the first core, the second on the second."""
    for surplus in platform.replicas("token")[replicas:]:
        await asyncio.to_thread(surplus.process.stop)
    while len(platform.replicas("token")) < replicas:
        await platform.start("token").ready()
    running = platform.replicas("token")
    for core, replica in zip(sorted(os.sched_getaffinity(0)), running, strict=False):
        for task in Path(f"/proc/{replica.process.pid}/task").iterdir():  # noqa: ASYNC240 - no file on a disk
            os.sched_setaffinity(int(task.name), {core})
    return running


def text(comparisons: Sequence[Comparison]) -> str:
    """A few lines for each algorithm."""
    lines = []
    for one in comparisons:
        lines.append(f"client_credentials over the bus, {one.algorithm}, {AT_ONCE} at once")
        for name, rounds in (("one replica", one.one), ("two replicas", one.two)):
            for turn in rounds:
                tokens = " + ".join(f"{share:.0%}" for share in turn.token_shares)
                others = ", ".join(f"{other} {share:.0%}" for other, share in turn.others.items() if share >= 0.01)
                lines.append(
                    f"  {name}: {turn.per_second:7,.0f} calls/s; of a core: token {tokens}, {others};"
                    f" capacity {turn.capacity:,.0f} calls/s"
                )
        lines.append(f"  calls a second, two against one: {one.throughput_ratio:.2f}")
        lines.append(f"  capacity, two against one: {one.capacity_ratio:.2f} (wanted: {TARGET})")
    return "\n".join(lines)


async def main(algorithms: Sequence[SigningAlgorithm], rounds: int, seconds: float) -> None:
    """Measure, print, keep."""
    configure_logging("error")
    home = Path(tempfile.mkdtemp(prefix="dragoman-bench-"))
    comparisons: list[Comparison] = []
    try:
        async with running_platform(home) as platform:
            machine = await facts(platform)
            ask = await prepare(platform)
            for algorithm in algorithms:
                await sign_with(platform, algorithm)
                async with gateway_bus(platform) as bus:
                    turns = [await one_round(platform, bus, ask, 1 + n % 2, seconds) for n in range(2 * rounds)]
                comparisons.append(Comparison(algorithm, turns[::2], turns[1::2]))
    finally:
        remove(home)
    results = [
        {**asdict(one), "throughput_ratio": one.throughput_ratio, "capacity_ratio": one.capacity_ratio}
        for one in comparisons
    ]
    kept = keep("replicas", {"machine": machine, "seconds": seconds, "at_once": AT_ONCE, "comparisons": results})
    sys.stdout.write(f"{text(comparisons)}\n\n{kept.relative_to(ROOT)}\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure two replicas of token against one.")
    parser.add_argument("--algorithm", choices=get_args(SigningAlgorithm), help="by default RS256 and ES256")
    parser.add_argument("--rounds", type=int, default=3, help="of one replica and of two, in turn")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each")
    asked = parser.parse_args()
    uvloop.run(main([asked.algorithm] if asked.algorithm else _ALGORITHMS, asked.rounds, asked.seconds))
