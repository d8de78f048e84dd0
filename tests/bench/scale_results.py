"""What was measured on the small and on the large side, and the ratios between them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from tests.bench.measuring import Figure

LIMIT = 1.2
"""What latency and CPU may grow by."""

MEASURES: Mapping[str, Callable[[Figure], float]] = {
    "p50 ms": lambda figure: figure.outcome.p50_ms,
    "p99 ms": lambda figure: figure.outcome.p99_ms,
    "CPU-µs": lambda figure: figure.all_cpu_us,
}


@dataclass(frozen=True)
class Pair:
    """An operation on both sides, one right after the other, so that both meet the same weather."""

    small: Figure
    large: Figure

    @property
    def operation(self) -> str:
        """The operation's name."""
        return self.small.operation

    @property
    def figures(self) -> tuple[Figure, Figure]:
        """Both."""
        return self.small, self.large


@dataclass(frozen=True)
class Ratio:
    """How much larger a figure is: the median of the pairs' ratios, with the medians of both sides."""

    operation: str
    measure: str
    small: float
    large: float
    ratio: float

    @property
    def verdict(self) -> str:
        """Whether that is too much."""
        return "within" if self.ratio <= LIMIT else "over"


@dataclass
class Phase:
    """Several rounds of every operation under the same circumstances."""

    name: str
    pairs: list[Pair] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def operations(self) -> list[str]:
        """Those that were measured, in their order."""
        return list(dict.fromkeys(pair.operation for pair in self.pairs))

    @property
    def ratios(self) -> list[Ratio]:
        """Every measure of every operation."""
        return [self._ratio(operation, measure) for operation in self.operations for measure in MEASURES]

    @property
    def wrong(self) -> list[str]:
        """One line for each run with a wrong answer, or with none at all."""
        figures = [figure for pair in self.pairs for figure in pair.figures]
        found = [(one.operation, one.outcome) for one in figures if one.outcome.errors or not one.outcome.requests]
        return [f"{self.name}: {name}: {one.errors} errors {one.example}".rstrip() for name, one in found]

    def of(self, operation: str) -> list[Pair]:
        """The pairs of one operation."""
        return [pair for pair in self.pairs if pair.operation == operation]

    def _ratio(self, operation: str, measure: str) -> Ratio:
        read = MEASURES[measure]
        values = [(read(pair.small), read(pair.large)) for pair in self.of(operation)]
        return Ratio(
            operation,
            measure,
            median(small for small, _ in values),
            median(large for _, large in values),
            median(large / small if small else 0.0 for small, large in values),
        )


def document(phases: Sequence[Phase]) -> dict[str, Any]:
    """All of it, for JSON."""
    return {"limit": LIMIT, "phases": [asdict(phase) | {"ratios": _documents(phase.ratios)} for phase in phases]}


def text(phases: Sequence[Phase]) -> str:
    """The tables of each phase, and whatever was wrong."""
    lines = [line for phase in phases for line in _phase(phase)]
    return "\n".join(lines + [line for phase in phases for line in phase.wrong])


def _phase(phase: Phase) -> Iterator[str]:
    yield f"{phase.name}, small → large: at most {LIMIT} ×"
    yield from _table(phase.ratios)
    yield f"{phase.name}: requests/s and CPU-µs per request on the large side"
    for operation in phase.operations:
        figures = [pair.large for pair in phase.of(operation)]
        cpu = {name: median(one.cpu_us[name] for one in figures) for name in figures[0].cpu_us}
        parts = "  ".join(f"{name} {used:,.0f}" for name, used in cpu.items() if used >= 0.5)
        yield f"  {operation:20} {median(one.outcome.per_second for one in figures):8,.0f}  {parts}"
    yield from (f"  {note}" for note in phase.notes)
    yield ""


def _table(ratios: Sequence[Ratio]) -> Iterator[str]:
    for operation in dict.fromkeys(one.operation for one in ratios):
        cells = [
            f"{one.measure} {one.small:8,.1f} → {one.large:8,.1f}: {one.ratio:4.2f} × {one.verdict:6}"
            for one in ratios
            if one.operation == operation
        ]
        yield f"  {operation:20} {'   '.join(cells)}".rstrip()


def _documents(ratios: Sequence[Ratio]) -> list[dict[str, Any]]:
    return [asdict(one) | {"verdict": one.verdict} for one in ratios]
