"""What came of contests, as text and as JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from tests.bench.peers.contest import Comparison, Figure, Options

_WIDTHS = (25, 20, 5, 9, 9, 9, 7, 9, 7)
_HEADS = ("operation", "who", "conns", "req/s", "p50 ms", "p99 ms", "errors", "CPU µs", "ratio", "target at 64")


def text(found: Sequence[Comparison], options: Options) -> str:
    """All of it, to be read."""
    how = (
        f"CPU µs: of all processes of a side, per success. Everything on cores {_list(options.cores)}, "
        f"by turns of {options.seconds} s, rounds: {options.rounds}. "
        f"ioredis sends together what waits: {'yes' if options.pipelined else 'no, as it ships'}."
    )
    return "\n\n".join((_table(found), how, _shares(found), *_wrong(found), _notes(found)))


def document(found: Sequence[Comparison], options: Options) -> dict[str, Any]:
    """All of it, to be kept."""
    return {"options": asdict(options), "comparisons": [_kept(one) for one in found]}


def _kept(one: Comparison) -> dict[str, Any]:
    contest = one.contest
    return {
        "operation": contest.name,
        "connections": one.ours.connections,
        "ratio": one.ratio,
        "target": contest.target,
        "stretch": contest.stretch,
        "sides": [asdict(side) | {"all_cpu_us": side.all_cpu_us} for side in (one.theirs, one.ours)],
        "differences": list(contest.differences),
    }


def _table(found: Sequence[Comparison]) -> str:
    """Two lines for each operation and number of connections: theirs, and ours with the ratio of the CPU."""
    lines = [_line(_HEADS)]
    for one in found:
        lines.append(_line((one.contest.name, *_cells(one.theirs))))
        lines.append(_line(("", *_cells(one.ours), _ratio(one), _target(one))))
    return "\n".join(lines)


def _shares(found: Sequence[Comparison]) -> str:
    """Who has used the CPU at the highest number of connections."""
    most = max((one.ours.connections for one in found), default=0)
    lines = [f"CPU µs per success at {most} connections, and the load generator's own, which is not counted:"]
    for one, side in _sides(found):
        if side.connections == most:
            used = ", ".join(f"{name} {cpu:.0f}" for name, cpu in side.cpu_us.items())
            lines.append(f"- {one.contest.name}, {side.side}: {used}; load {side.driver_cpu_us:.0f}")
    return "\n".join(lines)


def _wrong(found: Sequence[Comparison]) -> list[str]:
    """The first wrong answer of each figure that has some."""
    wrong = [f"- {one.contest.name}, {side.side}: {side.example}" for one, side in _sides(found) if side.errors]
    return ["\n".join(["WRONG ANSWERS:", *wrong])] if wrong else []


def _notes(found: Sequence[Comparison]) -> str:
    """What the two do differently, a line each."""
    lines = dict.fromkeys(f"- {one.contest.name}: {text}" for one in found for text in one.contest.differences)
    return "\n".join(["What is not the same:", *lines])


def _sides(found: Sequence[Comparison]) -> Iterator[tuple[Comparison, Figure]]:
    for one in found:
        yield one, one.theirs
        yield one, one.ours


def _cells(side: Figure) -> tuple[str, ...]:
    return (
        side.side,
        str(side.connections),
        f"{side.per_second:,.0f}",
        f"{side.p50_ms:.2f}",
        f"{side.p99_ms:.2f}",
        str(side.errors),
        f"{side.all_cpu_us:,.0f}",
    )


def _ratio(one: Comparison) -> str:
    return "–" if one.ratio is None else f"{one.ratio:.2f} ×"


def _target(one: Comparison) -> str:
    contest = one.contest
    words = [] if contest.target is None else [f"≤ {contest.target:g} ×"]
    return ", ".join(words if contest.stretch is None else [*words, f"stretch {contest.stretch:g} ×"])


def _line(cells: Sequence[str]) -> str:
    """The first two cells to the left, as the last one, and the figures to the right."""
    padded = [
        cell.ljust(width) if place < 2 else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(cells, _WIDTHS, strict=False))
    ]
    return "  ".join([*padded, *cells[len(_WIDTHS) :]]).rstrip()


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
