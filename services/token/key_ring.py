"""The signing keys in memory, looked up anew every second, so that a rotation reaches every replica."""

import asyncio
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from services.token.domain import key_rotation, signing_keys
from services.token.domain.key_rotation import Keys, StoredKey
from services.token.domain.signing_keys import KeyWrapper, SigningKey
from services.token.repository.keys import KeyRepository
from shared.clock import Clock
from shared.contracts.token import SigningAlgorithm
from shared.telemetry import Telemetry

_FRESH_SECONDS = 1.0


class KeyRing:
    """Knows the key that signs and the public keys that verify; does to them what is due, whichever replica is first.

    `life` is how long a token may live after its key retired, with what clocks may differ.
    """

    def __init__(
        self, repository: KeyRepository, wrapper: KeyWrapper, clock: Clock, life: timedelta, telemetry: Telemetry
    ) -> None:
        self._repository = repository
        self._wrapper = wrapper
        self._clock = clock
        self._life = life
        self._log = telemetry.log
        self._keys: Keys = ()
        self._public: list[dict[str, Any]] = []
        self._read_at = float("-inf")
        self._signing: SigningKey | None = None
        self._lock = asyncio.Lock()
        self._unwrapping = asyncio.Lock()

    async def check(self) -> None:
        """Raise what keeps this replica from signing."""
        await self.active()

    async def active(self) -> SigningKey:
        """The key to sign with. Raises `internal` when it was wrapped under a wrapping key that this replica lacks."""
        await self.all()
        return await self._unwrapped()

    async def public(self) -> list[dict[str, Any]]:
        """The public keys as JWKs, the active one first."""
        await self.all()
        return self._public

    async def all(self) -> Keys:
        """Every key; one reader at a time, and nobody signs with what was read more than a second ago."""
        if not self._is_fresh():
            async with self._lock:
                if not self._is_fresh():
                    await self._settle()
        return self._keys

    async def read(self) -> Keys:
        """Every key as it is at this moment, for operators, who may have asked another replica just before."""
        async with self._lock:
            await self._settle()
        return self._keys

    async def change(self, decide: Callable[[Keys, datetime], Keys]) -> Keys:
        """Change the keys for every replica, after what is due anyway; this replica knows the outcome at once."""
        async with self._lock:
            await self._write(decide)
            await self._settle()
        return self._keys

    async def spare(self, algorithm: SigningAlgorithm | None = None) -> StoredKey:
        """A new key that is not kept yet, by default of the algorithm in use.

        Raises `internal` when this replica cannot unwrap the active key: the others could not unwrap the new one.
        """
        keys = await self.read()
        return await self._spare(algorithm or key_rotation.newest_algorithm(keys))

    def signing_for(self) -> float:
        """Seconds since the active key began to sign, by what was read last; 0 before anything was."""
        key = key_rotation.active(self._keys)
        return 0.0 if key is None else (self._clock.now() - (key.activates_at or key.created_at)).total_seconds()

    def _is_fresh(self) -> bool:
        return asyncio.get_running_loop().time() - self._read_at < _FRESH_SECONDS

    async def _settle(self) -> None:
        """Read the keys, and do what is due to them, until nothing is."""
        while True:
            self._take(await self._repository.all())
            due = key_rotation.settled(self._keys, self._clock.now(), self._life)
            if key_rotation.active(due) is None or key_rotation.standby(due) is None:
                spare = await self._spare(key_rotation.newest_algorithm(due))
                await self._write(partial(key_rotation.completed, spare=spare))
            elif due != self._keys:
                await self._write(lambda keys, _now: keys)
            else:
                self._read_at = asyncio.get_running_loop().time()
                return

    async def _write(self, decide: Callable[[Keys, datetime], Keys]) -> None:
        def change(keys: Keys) -> Keys:
            now = self._clock.now()
            changed = decide(key_rotation.settled(keys, now, self._life), now)
            return key_rotation.settled(changed, now, self._life)

        before, after = await self._repository.change(change)
        states = {key.kid: key.state for key in before}
        for key in after:
            if states.pop(key.kid, None) != key.state:
                self._log.info("signing key", kid=key.kid, algorithm=key.algorithm, state=key.state)
        for kid in states:
            self._log.info("signing key", kid=kid, state="gone")

    def _take(self, keys: Keys) -> None:
        if keys != self._keys:
            self._keys = keys
            self._public = [json.loads(key.public_jwk) for key in keys]

    async def _spare(self, algorithm: SigningAlgorithm) -> StoredKey:
        if key_rotation.active(self._keys) is not None:
            await self._unwrapped()
        key = await asyncio.to_thread(signing_keys.generate, algorithm)
        return StoredKey(
            kid=key.kid,
            algorithm=algorithm,
            state="next",
            public_jwk=json.dumps(key.public_jwk),
            wrapped_private_key=self._wrapper.wrap(key),
            wrapped_by=self._wrapper.id,
            created_at=self._clock.now(),
        )

    async def _unwrapped(self) -> SigningKey:
        async with self._unwrapping:
            key = key_rotation.active(self._keys)
            assert key is not None
            if self._signing is None or self._signing.kid != key.kid:
                self._signing = await asyncio.to_thread(self._wrapper.unwrap, key.kid, key.wrapped_private_key)
            return self._signing
