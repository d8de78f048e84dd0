"""The table of a verification, and the commands that it runs."""

import sys

import pytest

from deploy.verify.commands import run, succeeds
from deploy.verify.table import Table, VerifyError
from deploy.verify.under_load import Load


def test_a_step_that_fails_is_told_and_the_next_one_is_tried() -> None:
    """One thing that does not work hides nothing of the rest."""
    said: list[str] = []
    table = Table(said.append)
    with table.step("first"):
        raise VerifyError("the reason\nand more of it")
    with table.step("second") as row:
        row.detail = "28 of 28"
    with table.step("third", "rendered"):
        pass
    assert [(row.what, row.state) for row in table.rows] == [
        ("first", "failed"),
        ("second", "ran"),
        ("third", "rendered"),
    ]
    assert table.failed
    assert any("and more of it" in line for line in said)
    first, second, _ = table.lines()
    assert first.endswith("the reason")
    assert second.endswith("28 of 28")


def test_all_is_well_only_when_something_was_tried() -> None:
    """A table without a row is no success."""
    table = Table(lambda _: None)
    assert table.failed
    with table.step("something"):
        pass
    assert not table.failed


def test_a_mistake_of_the_verification_itself_is_not_hidden() -> None:
    """What nobody has thought of ends it, after its row."""
    table = Table(lambda _: None)
    with pytest.raises(KeyError), table.step("something"):
        raise KeyError("x")
    assert table.failed


def test_a_command_that_fails_says_how_it_ended() -> None:
    """The end of what it wrote says more than its status."""
    with pytest.raises(VerifyError, match=r"exit status 3: the reason\n"):
        run([sys.executable, "-c", "import sys; print('the reason'); sys.exit(3)"], seconds=30)
    assert not succeeds([sys.executable, "-c", "raise SystemExit(3)"])


def test_a_command_that_hangs_is_ended() -> None:
    """Nothing waits for ever."""
    with pytest.raises(VerifyError, match="not done after 0 s"):
        run([sys.executable, "-c", "import time; time.sleep(60)"], seconds=0.2)


def test_a_command_that_is_not_there() -> None:
    """A program that is missing is a reason like others."""
    with pytest.raises(VerifyError, match="cannot be started"):
        run(["/nowhere/program"], seconds=1)


@pytest.mark.parametrize("report", [{"errors": {"503": 1}, "wrong": []}, {"errors": {}, "wrong": ["a lost session"]}])
def test_load_with_an_error(report: dict[str, object]) -> None:
    """A single request that failed, or an answer that is wrong, is told."""
    load = Load()
    load.report = {"requests": 9, "slowest": 0.1, **report}
    with pytest.raises(VerifyError, match="9 requests"):
        load.require_no_error()


def test_load_without_an_error() -> None:
    """What the clients saw is told in one line."""
    load = Load()
    load.report = {"requests": 9, "slowest": 0.14, "errors": {}, "wrong": []}
    assert load.require_no_error() == "9 requests, no error, the slowest 0.14 s"
