"""How long failed attempts hold an account up, where one process counts alone."""

from datetime import UTC, datetime, timedelta

import pytest

from services.identity.domain.failures import FailurePolicy, LocalFailures

POLICY = FailurePolicy(allowed=3, longest_delay=timedelta(seconds=60), forget_after=timedelta(seconds=600))
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def later(seconds: float) -> datetime:
    """So many seconds after the beginning."""
    return NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 0), (2, 0), (3, 1), (4, 2), (5, 4), (8, 32), (9, 60), (10, 60), (10**9, 60)]
)
def test_delay_doubles_to_its_limit(failures: int, seconds: int) -> None:
    """The delay begins with the last failure allowed and doubles until it is the longest."""
    assert POLICY.delay(failures) == timedelta(seconds=seconds)


def test_delay_is_kept_and_ends() -> None:
    """After the failures allowed an attempt has to wait; asking meanwhile does not make it longer."""
    failures = LocalFailures(POLICY)
    assert [failures.begin("a", str(n), NOW) for n in range(3)] == [timedelta(0)] * 3
    assert failures.begin("a", "3", later(0.25)) == timedelta(seconds=0.75)
    assert failures.begin("a", "3", later(0.5)) == timedelta(seconds=0.5)
    assert failures.begin("b", "4", NOW) == timedelta(0)
    assert failures.begin("a", "5", later(1)) == timedelta(0)
    assert failures.begin("a", "6", later(1)) == timedelta(seconds=2)


def test_given_back_and_forgotten() -> None:
    """An attempt that is given back does not count, and a success forgets the others."""
    failures = LocalFailures(POLICY)
    for n in range(10):
        assert failures.begin("a", str(n), NOW) == timedelta(0)
        failures.give_back("a", str(n))
    for n in range(3):
        failures.begin("a", str(n), NOW)
    assert failures.begin("a", "x", NOW)
    failures.forget("a")
    assert failures.begin("a", "x", NOW) == timedelta(0)
    failures.give_back("nobody", "x")


def test_quiet_is_rewarded() -> None:
    """Failures are forgotten once the account was left in peace for long enough, and not before."""
    for quiet, wait in ((600, 2), (601, 0)):
        failures = LocalFailures(POLICY)
        for n in range(3):
            failures.begin("a", str(n), NOW)
        failures.begin("a", "3", later(quiet))
        assert failures.begin("a", "4", later(quiet)) == timedelta(seconds=wait)


def test_no_guess_is_free_for_ever() -> None:
    """However long somebody goes on guessing, the delay stays the longest and what is remembered stays small."""
    failures = LocalFailures(POLICY)
    for n in range(200):
        assert failures.begin("a", str(n), later(60 * n)) == timedelta(0)
    assert failures.begin("a", "x", later(60 * 199)) == timedelta(seconds=60)
    assert len(failures._attempts["a"]) <= POLICY.most_failures


def test_memory_is_bounded() -> None:
    """Any number of names fills no memory; the oldest are forgotten first."""
    failures = LocalFailures(POLICY, most_accounts=2)
    for name in ("a", "b"):
        for n in range(3):
            failures.begin(name, str(n), NOW)
    failures.begin("a", "again", NOW)
    failures.begin("c", "0", NOW)
    assert failures.begin("a", "x", NOW)
    assert failures.begin("b", "x", NOW) == timedelta(0)
    assert len(failures._attempts) == 2
