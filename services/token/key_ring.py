"""The signing keys in memory, looked up anew every few seconds, so that a rotation reaches every replica."""

import asyncio
from typing import Any

from services.token.domain.signing_keys import SigningKey
from services.token.repository.keys import KeyRepository
from shared.clock import Clock

_FRESH_SECONDS = 15.0


class KeyRing:
    """Knows the key that signs and the public keys that verify."""

    def __init__(self, keys: KeyRepository, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock
        self._active: SigningKey | None = None
        self._public: list[dict[str, Any]] = []
        self._read_at = float("-inf")
        self._lock = asyncio.Lock()

    async def check(self) -> None:
        """Raise what keeps this replica from signing."""
        await self._refresh()

    async def active(self) -> SigningKey:
        """The key to sign with."""
        await self._refresh()
        assert self._active is not None
        return self._active

    async def public(self) -> list[dict[str, Any]]:
        """The public keys as JWKs."""
        await self._refresh()
        return self._public

    async def _refresh(self) -> None:
        """Read the keys when they are stale; one reader at a time, and nobody signs with keys older than that."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._read_at < _FRESH_SECONDS:
            return
        async with self._lock:
            if loop.time() - self._read_at < _FRESH_SECONDS:
                return
            self._active = await self._keys.active(self._clock.now())
            self._public = await self._keys.public()
            self._read_at = loop.time()
