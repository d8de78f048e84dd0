"""What sign-ins that saturate the hash pool leave to everybody else."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiohttp import ClientSession, ClientTimeout
from prometheus_client.parser import text_string_to_metric_families

from tests.bench.accounting import Accounting, difference
from tests.bench.floors import cores
from tests.bench.load import Load, Outcome, drive
from tests.bench.measuring import Figure, measure, settle
from tests.bench.operations import OPERATIONS, Stage
from tests.support.platform import Platform

CONNECTIONS = 16
BESIDE = ("client_credentials", "users-me", "introspection")
WATCHED = ("gateway", "token")

_METRICS_SECONDS = 5.0
_LAG = "dragoman_loop_lag_seconds_bucket"

Buckets = Mapping[float, float]
"""How many were observed at or below each upper bound, as Prometheus counts them."""


@dataclass(frozen=True)
class Beside:
    """One operation beside sign-ins.

    - `remaining`: the share of the cores that the password service left, (cores - its CPU per second) / cores.
    - `ratio`: the rate against `remaining` of the quiet rate. It asks no more than that an operation slows down as if
      the machine had got smaller, whoever else used up what was left.
    """

    quiet: Figure
    outcome: Outcome
    sign_ins: Outcome
    remaining: float

    @property
    def ratio(self) -> float:
        """The rate beside sign-ins, against the quiet rate on what cores remain."""
        return self.outcome.per_second / (self.quiet.outcome.per_second * self.remaining)


@dataclass(frozen=True)
class Saturated:
    """The operations beside sign-ins, and by component how late its event loop woke up meanwhile.

    `lag_p99_seconds` is the upper bound of the histogram's bucket that has the 99th percentile of `lag_samples`.
    """

    beside: Sequence[Beside]
    lag_p99_seconds: Mapping[str, float]
    lag_samples: Mapping[str, int]


async def saturated(stage: Stage, accounting: Accounting, lags: "Lags", seconds: int) -> Saturated:
    """Measure each operation in quiet, then beside sign-ins on as many connections."""
    loads = {one.name: await one.load(stage, CONNECTIONS) for one in OPERATIONS if one.name in (*BESIDE, "sign-in")}
    quiet = [await measure(stage.url, loads[name], CONNECTIONS, seconds, accounting) for name in BESIDE]
    before = await lags.read()
    beside = [await _beside(stage.url, one, loads, seconds, accounting) for one in quiet]
    after = await lags.read()
    observed = {name: {bound: after[name][bound] - before[name][bound] for bound in after[name]} for name in after}
    return Saturated(
        beside,
        {name: percentile_of(buckets, 0.99) for name, buckets in observed.items()},
        {name: int(max(buckets.values())) for name, buckets in observed.items()},
    )


async def _beside(url: str, quiet: Figure, loads: Mapping[str, Load], seconds: int, accounting: Accounting) -> Beside:
    async with asyncio.TaskGroup() as group:
        # A second more, so that the other one has company up to its end.
        sign_ins = group.create_task(drive(url, loads["sign-in"], CONNECTIONS, seconds + 1))
        await asyncio.sleep(loads["sign-in"].ramp_seconds)
        before = accounting.snapshot()
        outcome = await drive(url, loads[quiet.operation], CONNECTIONS, seconds)
        used = difference(before, accounting.snapshot())
    await settle(accounting)
    hashing = used["password"] / outcome.seconds
    return Beside(quiet, outcome, sign_ins.result(), max(0.0, cores() - hashing) / cores())


class Lags:
    """Reads the event-loop lag of the gateway and of `token` from their admin ports."""

    def __init__(self, http: ClientSession, ports: Mapping[str, int]) -> None:
        self._http = http
        self._ports = ports

    @classmethod
    async def of(cls, platform: Platform, http: ClientSession) -> "Lags":
        """Those of a platform; to be made early, while its logs are short."""
        ports = {}
        for name in WATCHED:
            ports[name] = (await platform.replicas(name)[0].logged("admin port open"))["port"]
        return cls(http, ports)

    async def read(self) -> dict[str, Buckets]:
        """The histogram of each so far."""
        found: dict[str, Buckets] = {}
        for name, port in self._ports.items():
            url, limit = f"http://127.0.0.1:{port}/metrics", ClientTimeout(_METRICS_SECONDS)
            async with self._http.get(url, timeout=limit) as answer:
                found[name] = lag_buckets(await answer.text())
        return found


def lag_buckets(metrics: str) -> dict[float, float]:
    """The lag's histogram in a component's metrics."""
    samples = (sample for family in text_string_to_metric_families(metrics) for sample in family.samples)
    return {float(sample.labels["le"]): sample.value for sample in samples if sample.name == _LAG}


def percentile_of(buckets: Buckets, share: float) -> float:
    """The upper bound of the bucket that has the percentile; infinity beyond the last bound, 0 of nothing."""
    total = max(buckets.values(), default=0.0)
    reached = (bound for bound, number in sorted(buckets.items()) if number >= share * total)
    return next(reached, 0.0) if total else 0.0
