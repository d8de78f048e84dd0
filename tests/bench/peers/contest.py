"""One load on two platforms, turn by turn, so that whatever else the machine does slows both alike."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from tests.bench.accounting import Accounting, difference
from tests.bench.load import Load, Outcome, drive, warm_up
from tests.bench.measuring import per_success, settle


@dataclass(frozen=True)
class Options:
    """What a run is asked for.

    - `seconds`: of each round. `rounds`: in which both sides have their turn, for each figure.
    - `only`: names of operations; empty: all.
    - `cores`: where everything runs.
    - `pipelined`: whether oidc-provider's Redis client sends together what waits.
    """

    seconds: int
    rounds: int
    connections: tuple[int, ...]
    only: tuple[str, ...]
    cores: tuple[int, ...]
    pipelined: bool

    def wants(self, name: str) -> bool:
        """Whether an operation is to be measured."""
        return not self.only or name in self.only

    @property
    def tokens(self) -> int:
        """How many tokens a whole contest of a chained load takes on each side: of every round, and to warm up."""
        return sum(_tokens_for(number) * (self.rounds + 1) for number in self.connections)


@dataclass(frozen=True)
class Side:
    """A platform that runs: where it answers, and who of its processes uses how much."""

    name: str
    url: str
    accounting: Accounting


@dataclass
class Entry:
    """What one side is asked. A chained load takes its tokens from the stock, and never one twice."""

    side: Side
    load: Load
    stock: list[str] = field(default_factory=list)

    def supplied(self, connections: int) -> Load:
        """The load with tokens enough for one run."""
        if not self.load.chain:
            return self.load
        number = _tokens_for(connections)
        assert len(self.stock) >= number, f"{self.load.name} has too few tokens"
        tokens, self.stock = self.stock[:number], self.stock[number:]
        return replace(self.load, tokens=tokens)


@dataclass(frozen=True)
class Contest:
    """The same operation of a peer and of ours.

    - `target`, `stretch`: how much of the peer's CPU ours may use, at most; None: nobody has said.
    - `differences`: what one of the two does or promises and the other does not.
    """

    name: str
    theirs: Entry
    ours: Entry
    target: float | None
    stretch: float | None
    differences: Sequence[str]


@dataclass(frozen=True)
class Figure:
    """One side at so many connections, over all of its rounds.

    - `p50_ms`, `p99_ms`: the mean of the rounds'.
    - `cpu_us`: CPU time of each of its processes per success, in microseconds, by name.
    - `driver_cpu_us`: that of the load generator, which is not counted.
    """

    side: str
    connections: int
    per_second: float
    p50_ms: float
    p99_ms: float
    errors: int
    cpu_us: dict[str, float]
    driver_cpu_us: float
    example: str

    @property
    def all_cpu_us(self) -> float:
        """CPU time of all processes together per success, in microseconds."""
        return sum(self.cpu_us.values())


@dataclass(frozen=True)
class Comparison:
    """Both figures of a contest at so many connections."""

    contest: Contest
    theirs: Figure
    ours: Figure

    @property
    def ratio(self) -> float | None:
        """CPU time per success, ours by theirs; None where a side has none to tell of."""
        ours, theirs = self.ours.all_cpu_us, self.theirs.all_cpu_us
        return ours / theirs if ours and theirs else None


_Run = tuple[Outcome, dict[str, float]]
"""What came of one round, and the CPU seconds that each process has used in it."""


async def compare(contest: Contest, options: Options) -> list[Comparison]:
    """Both sides at each number of connections."""
    return [await _compare(contest, connections, options) for connections in options.connections]


async def _compare(contest: Contest, connections: int, options: Options) -> Comparison:
    entries = (contest.theirs, contest.ours)
    for entry in entries:
        await warm_up(entry.side.url, entry.supplied(connections), connections)
        await settle(entry.side.accounting)
    runs: tuple[list[_Run], ...] = ([], [])
    for _ in range(options.rounds):
        for entry, found in zip(entries, runs, strict=True):
            found.append(await _run(entry, connections, options.seconds))
    theirs, ours = (_figure(entry.side, connections, found) for entry, found in zip(entries, runs, strict=True))
    return Comparison(contest, theirs, ours)


def _tokens_for(connections: int) -> int:
    """How many tokens a run of a chained load takes: wrk asks for one request that it does not send."""
    return connections + 1


async def _run(entry: Entry, connections: int, seconds: int) -> _Run:
    load = entry.supplied(connections)
    before = entry.side.accounting.snapshot()
    outcome = await drive(entry.side.url, load, connections, seconds)
    used = difference(before, entry.side.accounting.snapshot())
    await settle(entry.side.accounting)  # what is left over must not count against the other
    return outcome, used


def _figure(side: Side, connections: int, runs: Sequence[_Run]) -> Figure:
    outcomes = [outcome for outcome, _ in runs]
    successes = sum(outcome.requests for outcome in outcomes)
    used = {name: sum(part[name] for _, part in runs) for name in side.accounting.names}
    driver = {"driver": sum(outcome.driver_cpu_seconds for outcome in outcomes)}
    return Figure(
        side=side.name,
        connections=connections,
        per_second=successes / sum(outcome.seconds for outcome in outcomes),
        p50_ms=fmean(outcome.p50_ms for outcome in outcomes),
        p99_ms=fmean(outcome.p99_ms for outcome in outcomes),
        errors=sum(outcome.errors for outcome in outcomes),
        cpu_us=per_success(used, successes),
        driver_cpu_us=per_success(driver, successes)["driver"],
        example=next((outcome.example for outcome in outcomes if outcome.example), ""),
    )
