"""A component on a machine whose clock is wrong: `python -m tests.support.moved_clock token -60`.

All of our code asks `SystemClock` for the time of day, so moving that moves the whole component, and nothing else: the
servers' clocks and the event loop's stay as they are.
"""

import sys
from datetime import UTC, datetime, timedelta

from cli.components import component
from shared.clock import SystemClock
from shared.process import run


def move(seconds: float) -> None:
    """Have every `SystemClock` of this process tell a time that is so far ahead; behind, if negative."""
    ahead = timedelta(seconds=seconds)

    def now(self: SystemClock) -> datetime:
        return datetime.now(UTC) + ahead  # noqa: TID251 - this is what the machine's clock would say

    SystemClock.now = now  # type: ignore[method-assign]


if __name__ == "__main__":
    move(float(sys.argv[2]))
    run([component(sys.argv[1])])
