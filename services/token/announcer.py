"""Carries revocations from PostgreSQL into the stream, and fills the stream again when Redis may have lost some."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from services.token.repository.revocations import RevocationRepository
from shared.clock import Clock
from shared.contracts.token import Revocation
from shared.entropy import Entropy
from shared.errors import Error
from shared.revocations import RevocationStream
from shared.telemetry import Telemetry

_POLL_SECONDS = 0.5
_QUICK_SECONDS = 0.005
_BATCH = 500


class Announcer:
    """One of these in each replica; they share the work."""

    def __init__(
        self,
        revocations: RevocationRepository,
        stream: RevocationStream,
        life: timedelta,
        clock: Clock,
        entropy: Entropy,
        telemetry: Telemetry,
    ) -> None:
        self._revocations = revocations
        self._stream = stream
        self._life = life
        self._clock = clock
        self._entropy = entropy
        self._telemetry = telemetry
        self._server: str | None = None
        self._problem: str | None = None

    async def run(self) -> None:
        """Announce until cancelled; what fails stays in PostgreSQL and is tried again."""
        pause = _POLL_SECONDS
        while True:
            # A revocation is told before its commit, so that the first look may be in vain; the next ones are quick.
            pause = _QUICK_SECONDS if self._revocations.added.is_set() else min(2 * pause, _POLL_SECONDS)
            self._revocations.added.clear()
            announced = 0
            try:
                await self._fill_if_lost()
                announced = await self._revocations.announce(self._append, self._clock.now(), _BATCH)
                self._problem = None
            except Error as error:
                if self._problem != error.message:  # once, however long it lasts
                    self._telemetry.log.warning("revocations wait to be announced", reason=error.message)
                self._problem = error.message
            except Exception:
                self._telemetry.log.exception("announcing revocations failed")
            if announced < _BATCH:
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._revocations.added.wait()

    async def _fill_if_lost(self) -> None:
        server, filled = await self._stream.server()
        if not filled:
            live = await self._revocations.live(self._clock.now())
            await self._stream.fill(live, f"{server}:{self._entropy.token_bytes(8).hex()}")
            self._telemetry.log.info("revocation stream filled", count=len(live))
        elif server != (self._server or server):
            # Somebody else has filled it, maybe before what was added last to the server that was left.
            await self._append(await self._revocations.live(self._clock.now()))
        self._server = server

    async def _append(self, revocations: Sequence[Revocation]) -> None:
        await self._stream.append(revocations, self._clock.now() - self._life)
