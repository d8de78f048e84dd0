"""The platform's public keys, fetched from `token` and kept."""

import asyncio
from typing import Any

from shared.bus.bus import Bus
from shared.contracts.token import GetKeys
from shared.errors import Error
from shared.telemetry import Telemetry

_FRESH_SECONDS = 15.0
_BETWEEN_FETCHES_SECONDS = 2.0
_STALE_SECONDS = 86_400.0


class PublicKeys:
    """Keeps the keys fresh; one fetch at a time, and those it has while `token` is away, for a day at most."""

    def __init__(self, bus: Bus, telemetry: Telemetry) -> None:
        self._bus = bus
        self._telemetry = telemetry
        self._keys: list[dict[str, Any]] = []
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._lock = asyncio.Lock()

    async def all(self, *, newer_than: float = _FRESH_SECONDS) -> list[dict[str, Any]]:
        """The keys as JWKs, none older than `newer_than` seconds where `token` can be reached.

        Raises `unavailable` when there have never been any, or only ones that are too old.
        """
        loop = asyncio.get_running_loop()
        if loop.time() - self._fetched_at < newer_than:
            return self._keys
        async with self._lock:
            now = loop.time()
            # Whoever waited for the lock takes what the one before it got; a failed fetch is not repeated at once.
            if now - self._fetched_at < newer_than or (self._keys and now - self._tried_at < _BETWEEN_FETCHES_SECONDS):
                return self._keys
            self._tried_at = now
            try:
                self._keys = (await self._bus.call(GetKeys())).keys
                self._fetched_at = loop.time()
            except Error as error:
                if now - self._fetched_at > _STALE_SECONDS:
                    raise
                self._telemetry.log.warning("keys are stale", reason=error.message)
            return self._keys

    async def find(self, kid: str) -> dict[str, Any] | None:
        """The key called `kid`, None without one; an unknown one is looked up anew, but seldom (user-pains row 8)."""
        for newer_than in (_FRESH_SECONDS, _BETWEEN_FETCHES_SECONDS):
            for key in await self.all(newer_than=newer_than):
                if key["kid"] == kid:
                    return key
        return None
