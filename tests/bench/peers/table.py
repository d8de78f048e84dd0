"""Prints what came of contests, and keeps it."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.peers.contest import Comparison, Figure, Options
from tests.bench.peers.installing import ROOT

_WIDTHS = (25, 20, 5, 9, 9, 9, 7, 9, 7)
_HEADS = ("operation", "who", "conns", "req/s", "p50 ms", "p99 ms", "errors", "CPU µs", "ratio", "target at 64")


def table(found: Sequence[Comparison]) -> str:
    """Two lines for each operation and number of connections: theirs, and ours with the ratio of the CPU."""
    lines = [_line(_HEADS)]
    for one in found:
        lines.append(_line((one.contest.name, *_cells(one.theirs))))
        lines.append(_line(("", *_cells(one.ours), f"{one.ratio:.2f} ×", _target(one))))
    return "\n".join(lines)


def shares(found: Sequence[Comparison]) -> str:
    """Who has used the CPU, in µs per success, at the highest number of connections; and the first wrong answers."""
    most = max((one.ours.connections for one in found), default=0)
    lines = [f"CPU µs per success at {most} connections, and the load generator's own, which is not counted:"]
    for one in (one for one in found if one.ours.connections == most):
        for side in (one.theirs, one.ours):
            used = ", ".join(f"{name} {cpu:.0f}" for name, cpu in side.cpu_us.items())
            lines.append(f"  {one.contest.name}, {side.side}: {used}; load {side.driver_cpu_us:.0f}")
    wrong = [
        f"WRONG, {one.contest.name}, {side.side}: {side.example}"
        for one in found
        for side in (one.theirs, one.ours)
        if side.errors
    ]
    return "\n".join(lines + wrong)


def notes(found: Sequence[Comparison]) -> str:
    """What the two do differently, a line each."""
    texts = dict.fromkeys(f"- {one.contest.name}: {text}" for one in found for text in one.contest.differences)
    return "\n".join(["What is not the same:", *texts])


def keep(found: Sequence[Comparison], options: Options) -> Path:
    """The file that has all of it, as JSON."""
    now = datetime.now(UTC)  # noqa: TID251 - a file's name
    document: dict[str, Any] = {"options": asdict(options), "comparisons": [_document(one) for one in found]}
    kept = ROOT / ".run" / "bench" / f"peers-{now:%Y%m%dT%H%M%SZ}.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    return kept


def _document(one: Comparison) -> dict[str, Any]:
    contest = one.contest
    return {
        "operation": contest.name,
        "connections": one.ours.connections,
        "ratio": round(one.ratio, 3),
        "target": contest.target,
        "stretch": contest.stretch,
        "sides": [asdict(side) | {"all_cpu_us": side.all_cpu_us} for side in (one.theirs, one.ours)],
        "differences": list(contest.differences),
    }


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


def _target(one: Comparison) -> str:
    """The target that the issue gives for many connections, beside each figure."""
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
