"""Windows of one process alone."""

from datetime import UTC, datetime, timedelta

from gateway.limits.rules import Quota
from gateway.limits.windows import Counted, LocalWindows

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def counted(name: str, block: int = 600) -> Counted:
    """Something that may come once a minute."""
    return Counted(name, Quota(1, 60), block)


def outcomes(windows: LocalWindows, *names: str) -> list[str]:
    """What becomes of one request for each of these names, one after the other."""
    return [windows.decide([counted(name)], NOW)[0].outcome for name in names]


def test_memory_has_an_end() -> None:
    """Only the names seen last are remembered; one that goes on trying is not forgotten for that."""
    windows = LocalWindows(most_names=3)
    assert outcomes(windows, "a", "b", "c") == ["allowed"] * 3
    assert outcomes(windows, "a") == ["limited"]
    assert outcomes(windows, "d", "e", "a") == ["allowed", "allowed", "blocked"]
    assert outcomes(windows, "b") == ["allowed"]
    assert len(windows._states) == 3


def test_clock_put_back() -> None:
    """A clock that is put back by a day makes no block longer than the rule says."""
    windows = LocalWindows()
    outcomes(windows, "a", "a")
    earlier = NOW - timedelta(days=1)
    assert windows.decide([counted("a")], earlier)[0].wait == timedelta(seconds=600)
    assert windows.decide([counted("a")], earlier + timedelta(seconds=600))[0].outcome != "blocked"
