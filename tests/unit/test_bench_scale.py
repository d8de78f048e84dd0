"""The ratios between two sizes, where a mistake would look like a result."""

from tests.bench.load import Outcome
from tests.bench.measuring import Figure
from tests.bench.scale_results import Pair, Phase


def figure(p50_ms: float, cpu_us: float, errors: int = 0) -> Figure:
    """One run of one operation."""
    return Figure("refresh", 16, Outcome(1000, errors, 1.0, p50_ms, 2 * p50_ms, 99.0, 0.1), {"token": cpu_us})


def phase(*pairs: tuple[Figure, Figure]) -> Phase:
    """Rounds of one operation."""
    return Phase("some day", [Pair(small, large) for small, large in pairs])


def test_the_ratio_is_that_of_the_pairs() -> None:
    """What disturbs one round disturbs both sides of it: their ratio stays, and the median of the ratios counts."""
    quiet, loud = (figure(10, 500), figure(11, 500)), (figure(100, 900), figure(110, 990))
    found = phase(quiet, loud, (figure(20, 500), figure(20, 700))).ratios
    assert [one.measure for one in found] == ["p50 ms", "p99 ms", "CPU-µs"]
    assert [round(one.ratio, 2) for one in found] == [1.1, 1.1, 1.1]
    assert (found[0].small, found[0].large) == (20, 20)


def test_too_much_is_told() -> None:
    """A fifth more is the most that is within."""
    found = phase((figure(10, 1000), figure(12, 1201))).ratios
    assert [one.verdict for one in found] == ["within", "within", "over"]


def test_a_wrong_answer_on_either_side_is_told() -> None:
    """A figure of errors is none."""
    assert not phase((figure(10, 100), figure(10, 100))).wrong
    assert len(phase((figure(10, 100, errors=3), figure(10, 100)), (figure(10, 100), figure(10, 100, 1))).wrong) == 2
