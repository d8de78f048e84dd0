"""The platform's public keys, fetched from `token` and kept."""

import asyncio
from typing import Any

from shared.bus.bus import Bus
from shared.contracts.token import GetKeys
from shared.errors import Error, unavailable
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
        asked_at = asyncio.get_running_loop().time()
        if asked_at - self._fetched_at < newer_than:
            return self._keys
        async with self._lock:
            # Whoever waited for the lock takes what the one before it got; a failed fetch is not repeated at once.
            if self._age() < newer_than or (self._keys and self._idle() < _BETWEEN_FETCHES_SECONDS):
                return self._keys
            if self._tried_at >= asked_at:
                raise unavailable("the keys could not be fetched")
            return await self._fetch()

    async def _fetch(self) -> list[dict[str, Any]]:
        try:
            self._keys = (await self._bus.call(GetKeys())).keys
            self._fetched_at = asyncio.get_running_loop().time()
        except Error as error:
            if self._age() > _STALE_SECONDS:
                self._keys = []
                raise
            self._telemetry.log.warning("keys are stale", reason=error.message)
        finally:
            self._tried_at = asyncio.get_running_loop().time()
        return self._keys

    def _age(self) -> float:
        return asyncio.get_running_loop().time() - self._fetched_at

    def _idle(self) -> float:
        return asyncio.get_running_loop().time() - self._tried_at

    async def find(self, kid: str) -> dict[str, Any] | None:
        """The key called `kid`, None without one; an unknown one is looked up anew, but seldom (user-pains row 8)."""
        for newer_than in (_FRESH_SECONDS, _BETWEEN_FETCHES_SECONDS):
            for key in await self.all(newer_than=newer_than):
                if key["kid"] == kid:
                    return key
        return None
