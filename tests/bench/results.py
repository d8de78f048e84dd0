"""What has been measured, and the targets it is held against."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from deploy.running.environment import COMPONENTS
from tests.bench.bus_calls import BusFigure
from tests.bench.floors import Floor
from tests.bench.measuring import Figure
from tests.bench.saturated import Saturated
from tests.bench.sign_ins import SignIns

_FULL = 64
"""Connections at which CPU is compared: it is steadier than requests a second."""


@dataclass(frozen=True)
class Memory:
    """MiB by name; `kind` is PSS or RSS. `idle_rss` counts what is shared for each, as in a container of its own."""

    kind: str
    idle: Mapping[str, float]
    idle_rss: Mapping[str, float]
    loaded: dict[str, float] = field(default_factory=dict)


@dataclass
class Results:
    """What has been measured; anything may be missing.

    `elsewhere_cores`: how many cores were busy with something else meanwhile. The more, the less the figures mean.
    """

    idle_cpu_ms: Mapping[str, float]
    memory: Memory
    floors: list[Floor] = field(default_factory=list)
    operations: list[Figure] = field(default_factory=list)
    sign_ins: list[SignIns] = field(default_factory=list)
    sign_ins_on_half: list[SignIns] = field(default_factory=list)
    bus: list[BusFigure] = field(default_factory=list)
    saturated: Saturated | None = None
    elsewhere_cores: float = 0.0

    @property
    def wrong(self) -> list[str]:
        """One line for each run that had errors."""
        figures = [*self.operations, *(one.figure for one in self.sign_ins_on_half)]
        outcomes = [(f"{one.operation} at {one.connections}", one.outcome) for one in figures]
        if self.saturated:
            for beside in self.saturated.beside:
                name = beside.quiet.operation
                outcomes += [(f"{name} in quiet", beside.quiet.outcome), (f"{name} beside sign-ins", beside.outcome)]
                outcomes.append((f"sign-ins beside {name}", beside.sign_ins))
        lines = [f"{name}: {one.errors} errors {one.example}".rstrip() for name, one in outcomes if one.errors]
        return lines + [
            f"{name}: nothing was answered" for name, one in outcomes if not one.errors and not one.requests
        ]

    def document(self) -> dict[str, Any]:
        """All of it, for JSON."""
        beside = self.saturated.beside if self.saturated else []
        return {
            **asdict(self),
            "operations": [
                {**asdict(one), "per_second": one.outcome.per_second, "all_cpu_us": one.all_cpu_us}
                for one in self.operations
            ],
            "sign_ins": [{**asdict(one), "ratio": one.ratio} for one in self.sign_ins],
            "sign_ins_on_half": [{**asdict(one), "ratio": one.ratio} for one in self.sign_ins_on_half],
            "beside_sign_ins": {one.quiet.operation: one.ratio for one in beside},
            "targets": [{**asdict(one), "met": one.met} for one in targets(self)],
            "wrong": self.wrong,
        }


@dataclass(frozen=True)
class Target:
    """What the figure has to be, at most or at least."""

    name: str
    reached: float
    target: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether it is."""
        return self.reached >= self.target if self.at_least else self.reached <= self.target


def targets(results: Results) -> list[Target]:
    """Those that there are figures for.

    The figures of others were measured on another day: for a ratio in one run there is `make bench-peers`.
    """
    found: list[Target] = []
    cpu = {one.operation: one.all_cpu_us for one in results.operations if one.connections == _FULL}
    for name, what, limit in (
        ("client_credentials", "CPU-µs, against oidc-provider's 393", 393.0),
        ("refresh", "CPU-µs, against half of oidc-provider's 1,800", 900.0),
        ("introspection", "CPU-µs, against oidc-provider's 194", 194.0),
        ("users-me", "CPU-µs, against a fifth of fastapi-users' 2,600", 520.0),
    ):
        if name in cpu:
            found.append(Target(f"{name} at {_FULL}: {what}", cpu[name], limit))
    found += [
        Target("a lone client_credentials: p50 in ms", one.outcome.p50_ms, 4.0)
        for one in results.operations
        if (one.operation, one.connections) == ("client_credentials", 1)
    ]
    for bus in results.bus:
        if bus.at_once == 1:
            found.append(Target("a lone call over the bus: p50 in ms", bus.p50_ms, 1.5))
        elif bus.at_once == _FULL:
            found.append(Target(f"{_FULL} calls over the bus: Python CPU-µs, both sides", bus.python_cpu_us, 60.0))
    if results.sign_ins_on_half:
        ratio = median(one.ratio for one in results.sign_ins_on_half)
        name = "sign-in: rate against bare argon2id on the cores that may hash"
        found.append(Target(name, ratio, 0.95, at_least=True))
    found += _saturated_targets(results.saturated) if results.saturated else []
    kinds = ((results.memory.kind, results.memory.idle), ("RSS", results.memory.idle_rss))
    largest = {kind: max(idle[name] for name in COMPONENTS) for kind, idle in kinds}
    return found + [Target(f"the largest idle component: {kind} in MiB", mib, 80.0) for kind, mib in largest.items()]


def _saturated_targets(saturated: Saturated) -> list[Target]:
    found: list[Target] = []
    for one in saturated.beside:
        name = f"{one.quiet.operation} beside sign-ins"
        found.append(Target(f"{name}: rate against quiet, on what cores remain", one.ratio, 0.8, at_least=True))
        found.append(Target(f"{name}: p99 in ms", one.outcome.p99_ms, 50.0))
    lags = saturated.lag_p99_seconds.items()
    return found + [
        Target(f"event-loop lag of {name} beside sign-ins: p99 in ms", lag * 1000, 10.0) for name, lag in lags
    ]
