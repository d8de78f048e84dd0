"""Remove what no one can use any more, in batches small enough to disturb nobody (user-pains row 26)."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from services.token.key_ring import KeyRing
from services.token.repository.revocations import RevocationRepository
from services.token.repository.sessions import SessionRepository
from shared.bus.outbox import OutboxRelay
from shared.clock import Clock
from shared.errors import Error
from shared.telemetry import Telemetry

_PAUSE_SECONDS = 60.0
_WALK_PAUSE_SECONDS = 3600.0
_BATCH = 500
_PAGES = 16
"""Of 8 KiB: some 700 sessions at most, which are deleted in a few milliseconds."""

_REST = 9.0
"""How often as long as a batch the pause after it is: nine tenths of the time belong to others."""

_KEEP_EXPIRED = timedelta(days=1)
"""A day longer than their end, so that a late refresh is still told "expired" rather than "invalid"."""


async def keep_house(
    sessions: SessionRepository,
    revocations: RevocationRepository,
    relay: OutboxRelay,
    keys: KeyRing,
    clock: Clock,
    telemetry: Telemetry,
) -> None:
    """Delete expired sessions, revocations that no longer matter, and remembered events, until cancelled.

    And see to the signing keys, so that the first request of a new platform does not wait for one to be made.
    """
    walk = SessionWalk(sessions, clock, telemetry)

    async def tidy() -> float:
        await keys.all()
        await relay.forget_handled()
        while await unhurried(revocations.delete_expired(clock.now(), _BATCH)) == _BATCH:
            pass
        return _PAUSE_SECONDS

    async def delete_sessions() -> float:
        await walk.finish()
        return _WALK_PAUSE_SECONDS

    async with asyncio.TaskGroup() as tasks:
        for work in (tidy, delete_sessions):
            tasks.create_task(_again_and_again(work, telemetry))


class SessionWalk:
    """Deletes expired sessions wherever they are in the table, a few pages at a time.

    No index leads to them: it would have to be changed by each refresh, for which reading the whole table, page after
    page and now and then, is a small price. Each replica walks by itself, and finds what no other has deleted.
    """

    def __init__(self, sessions: SessionRepository, clock: Clock, telemetry: Telemetry) -> None:
        self._sessions = sessions
        self._clock = clock
        self._telemetry = telemetry
        self._page = 0
        self._deleted = 0

    async def finish(self) -> None:
        """Go on to the end of the table from where the walk was interrupted; the next one begins anew."""
        pages = await self._sessions.pages()
        while self._page < pages:
            before = self._clock.now() - _KEEP_EXPIRED
            self._deleted += await unhurried(self._sessions.delete_expired(before, self._page, _PAGES))
            self._page += _PAGES
        if self._deleted:
            self._telemetry.log.info("expired sessions deleted", count=self._deleted)
        self._page = self._deleted = 0


async def unhurried(batch: Awaitable[int]) -> int:
    """What a batch returns, after a pause as long as nine times the batch: longer when the database is busy."""
    loop = asyncio.get_running_loop()
    started_at = loop.time()
    result = await batch
    await asyncio.sleep(_REST * (loop.time() - started_at))
    return result


async def _again_and_again(work: Callable[[], Awaitable[float]], telemetry: Telemetry) -> None:
    """Do `work`, and again after the seconds that it returns; what fails is tried again soon."""
    while True:
        pause = _PAUSE_SECONDS
        try:
            pause = await work()
        except Error as error:
            telemetry.log.warning("housekeeping waits", reason=error.message)
        except Exception:
            telemetry.log.exception("housekeeping failed")
        await asyncio.sleep(pause)
