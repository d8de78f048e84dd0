"""The table of what was measured."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.report import Finding, keep, kept, page, table

FOUND = Finding(fault="1,000 requests cancelled", group="cancellations", held="well", requests=1000, errors={}, wrong=0)


def test_the_long_form_takes_the_place_of_the_short_one(tmp_path: Path) -> None:
    """A reader sees each fault once, in the order of the groups, with the figures of the heavier load."""
    keep(FOUND, tmp_path)
    keep(replace(FOUND, fault="10,000 requests cancelled", requests=10_000, long=True), tmp_path)
    keep(
        replace(FOUND, fault="frozen", group="RabbitMQ", errors={"503": 2}, slowest_error=0.96, recovery=0.25), tmp_path
    )
    assert [one.fault for one in kept(tmp_path)] == ["frozen", "10,000 requests cancelled"]
    rows = table(kept(tmp_path)).splitlines()[2:]
    assert rows[0] == "| RabbitMQ | frozen | 1,000 | 2 × 503 | 0 | 1.0 s | 0.2 s |  |  | well |"
    assert rows[1] == "| cancellations | 10,000 requests cancelled | 10,000 | 0 | 0 |  |  |  |  | well |"
    assert all(row in page(kept(tmp_path)) for row in rows)


def test_a_finding_belongs_to_a_group_that_there_is(tmp_path: Path) -> None:
    """A misspelt group would hide a row."""
    with pytest.raises(AssertionError, match="brokers"):
        keep(replace(FOUND, group="brokers"), tmp_path)
