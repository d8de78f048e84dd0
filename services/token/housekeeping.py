"""Remove what no one can use any more, in batches small enough to disturb nobody (user-pains row 26)."""

import asyncio
from datetime import timedelta

from services.token.key_ring import KeyRing
from services.token.repository.revocations import RevocationRepository
from services.token.repository.sessions import SessionRepository
from shared.bus.outbox import OutboxRelay
from shared.clock import Clock
from shared.errors import Error
from shared.telemetry import Telemetry

_PAUSE_SECONDS = 60.0
_BATCH = 500
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
    while True:
        deleted = 0
        try:
            await keys.all()
            await relay.forget_handled()
            await revocations.delete_expired(clock.now(), _BATCH)
            deleted = await sessions.delete_expired(clock.now() - _KEEP_EXPIRED, _BATCH)
            if deleted:
                telemetry.log.info("expired sessions deleted", count=deleted)
        except Error as error:
            telemetry.log.warning("housekeeping waits", reason=error.message)
        except Exception:
            telemetry.log.exception("housekeeping failed")
        await asyncio.sleep(1.0 if deleted == _BATCH else _PAUSE_SECONDS)
