"""The tables of everything that was measured."""

from collections.abc import Mapping, Sequence

from tests.bench.bus_calls import BusFigure
from tests.bench.floors import Floor
from tests.bench.measuring import Figure
from tests.bench.results import Memory, Results, Target, targets
from tests.bench.saturated import Saturated
from tests.bench.sign_ins import SignIns

NAMES = ("gateway", "token", "identity", "otp", "password", "rabbitmq", "redis", "postgresql")


def text(results: Results) -> str:
    """The tables, one below the other."""
    parts = [
        _table(["CPU-ms a second when idle", *NAMES, "all"], [_row("", results.idle_cpu_ms)]),
        _table(["floor", "a second", "p50 ms", "CPU-µs each"], [_floor(one) for one in results.floors]),
        _table(
            ["operation", "connections", "requests/s", "p50 ms", "p99 ms", "errors", *NAMES, "all", "(wrk)"],
            [_operation(one) for one in results.operations],
        ),
        _table(
            [
                *("sign-ins", "connections", "hashes at once", "a second", "bare argon2id", "ratio"),
                *("cores left to hashes", "CPU-µs of password", "bare CPU-µs"),
            ],
            [_sign_ins(one) for one in (*results.sign_ins, *results.sign_ins_on_half)],
        ),
        _table(
            ["bus call", "at once", "calls/s", "p50 ms", "p99 ms", "caller", *NAMES, "Python, both sides"],
            [_bus(one) for one in results.bus],
        ),
        *(_saturated(results.saturated) if results.saturated else []),
        _memory(results.memory),
        _table(["target", "reached", "wanted", ""], [_target(one) for one in targets(results)]),
        f"cores that were busy with something else meanwhile: {results.elsewhere_cores:.2f}",
        *results.wrong,
    ]
    return "\n".join(part for part in parts if part)


def _operation(one: Figure) -> list[str]:
    outcome = one.outcome
    latencies = [f"{outcome.p50_ms:.2f}", f"{outcome.p99_ms:.2f}"]
    driver = outcome.driver_cpu_seconds * 1e6 / max(1, outcome.requests)
    cells = [one.operation, str(one.connections), f"{outcome.per_second:,.0f}", *latencies, str(outcome.errors)]
    return [*cells, *_row("", one.cpu_us)[1:], f"{driver:,.0f}"]


def _row(name: str, figures: Mapping[str, float]) -> list[str]:
    return [name, *(f"{figures[one]:,.0f}" for one in NAMES), f"{sum(figures.values()):,.0f}"]


def _floor(one: Floor) -> list[str]:
    cpu = ", ".join(f"{name} {figure:,.0f}" for name, figure in one.cpu_us.items())
    return [one.name, f"{one.per_second:,.0f}", f"{one.p50_ms:.2f}" if one.p50_ms else "", cpu]


def _sign_ins(one: SignIns) -> list[str]:
    figure = one.figure
    rates = [f"{figure.outcome.per_second:.1f}", f"{one.bare_per_second:.1f}", f"{one.ratio:.3f}"]
    cpu = [f"{one.remaining:.0%}", f"{figure.cpu_us['password']:,.0f}", f"{one.bare_cpu_us:,.0f}"]
    return [figure.operation, str(figure.connections), str(one.hashers), *rates, *cpu]


def _bus(one: BusFigure) -> list[str]:
    latencies = [f"{one.p50_ms:.2f}", f"{one.p99_ms:.2f}"]
    cells = [
        "token.get_keys.v1",
        str(one.at_once),
        f"{one.per_second:,.0f}",
        *latencies,
        f"{one.cpu_us['caller']:,.0f}",
    ]
    return [*cells, *(f"{one.cpu_us[name]:,.0f}" for name in NAMES), f"{one.python_cpu_us:,.0f}"]


def _saturated(saturated: Saturated) -> list[str]:
    head = ["beside sign-ins", "quiet/s", "beside/s", "cores left", "ratio", "p99 ms", "errors", "sign-ins/s"]
    rows = [
        [
            one.quiet.operation,
            f"{one.quiet.outcome.per_second:,.0f}",
            f"{one.outcome.per_second:,.0f}",
            f"{one.remaining:.0%}",
            f"{one.ratio:.2f}",
            f"{one.outcome.p99_ms:.1f}",
            str(one.outcome.errors),
            f"{one.sign_ins.per_second:.1f}",
        ]
        for one in saturated.beside
    ]
    lags = [
        f"event-loop lag of {name} meanwhile: p99 at most {lag * 1000:g} ms ({saturated.lag_samples[name]} samples)"
        for name, lag in saturated.lag_p99_seconds.items()
    ]
    return [_table(head, rows), "\n".join(lags) + "\n"]


def _memory(memory: Memory) -> str:
    rows = [
        _row(f"idle, {memory.kind}", memory.idle),
        _row("idle, RSS", memory.idle_rss),
        _row(f"after the load, {memory.kind}", memory.loaded),
    ]
    return _table(["memory in MiB", *NAMES, "all"], rows)


def _target(one: Target) -> list[str]:
    sign = "≥" if one.at_least else "≤"
    return [one.name, f"{one.reached:,.2f}", f"{sign} {one.target:,g}", "met" if one.met else "MISSED"]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need to be, the first one to the left; nothing without rows."""
    if not rows:
        return ""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]

    def written(line: Sequence[str]) -> str:
        rest = (cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))
        return "  ".join([line[0].ljust(widths[0]), *rest]).rstrip() + "\n"

    return "".join(map(written, lines))
