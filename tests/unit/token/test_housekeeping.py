"""The pace of housekeeping, and what it does after an outage."""

import asyncio
from datetime import datetime
from typing import cast

import pytest

from services.token.housekeeping import SessionWalk, unhurried
from services.token.repository.sessions import SessionRepository
from shared.errors import Error, unavailable
from shared.telemetry import Telemetry
from shared.testing import FakeClock


class FakeSessions:
    """A table of 40 pages with one expired session on each; away when page 16 is asked for the first time."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def pages(self) -> int:
        """How many there are."""
        return 40

    async def delete_expired(self, before: datetime, page: int, pages: int) -> int:
        """As the repository does."""
        del before
        away = page == 16 and page not in self.asked
        self.asked.append(page)
        if away:
            raise unavailable("away")
        return pages


async def test_a_walk_goes_on_where_it_was_interrupted() -> None:
    """An outage half-way does not send the walk back to the beginning; the one after it begins there."""
    sessions = FakeSessions()
    walk = SessionWalk(cast("SessionRepository", sessions), FakeClock(), Telemetry("token"))
    with pytest.raises(Error):
        await walk.finish()
    await walk.finish()
    assert sessions.asked == [0, 16, 16, 32]
    await walk.finish()
    assert sessions.asked[4:] == [0, 16, 32]


async def test_batches_leave_nine_tenths_of_the_time_to_others() -> None:
    """However long a batch takes, the next one does not begin before nine times as long has passed."""
    loop = asyncio.get_running_loop()

    async def batch() -> int:
        await asyncio.sleep(0.02)
        return 7

    started_at = loop.time()
    assert await unhurried(batch()) == 7
    assert loop.time() - started_at >= 0.2 * 0.99
