"""Signing keys: listed, rotated, retired, revoked, encrypted anew."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from services.token.domain import key_rotation
from services.token.domain.key_rotation import Keys
from services.token.domain.signing_keys import KeyWrapper
from services.token.key_ring import KeyRing
from services.token.repository.sessions import SessionRepository
from shared.clock import Clock
from shared.contracts import token as contract
from shared.contracts.token import SigningKeyInfo, SigningKeyList


@dataclass(frozen=True)
class KeyService:
    """What operators do with signing keys. `publish` is how long a key is published before it signs."""

    ring: KeyRing
    sessions: SessionRepository
    wrapper: KeyWrapper
    clock: Clock
    publish: timedelta

    async def list_signing_keys(self, _call: contract.ListSigningKeys) -> SigningKeyList:
        """All keys."""
        return _shown(await self.ring.read())

    async def rotate_signing_key(self, call: contract.RotateSigningKey) -> SigningKeyList:
        """Call the key that waits, and publish the one after it."""
        spare = await self.ring.spare(call.algorithm)
        rotate = partial(key_rotation.rotated, spare=spare, publish=self.publish, at_once=call.at_once)
        return _shown(await self.ring.change(rotate))

    async def retire_signing_key(self, call: contract.RetireSigningKey) -> SigningKeyList:
        """Let a key sign no more; when it was the active one another takes over at once. Raises `not_found`."""
        spare = await self.ring.spare()
        return _shown(await self.ring.change(partial(key_rotation.retired, kid=call.kid, spare=spare)))

    async def revoke_signing_key(self, call: contract.RevokeSigningKey) -> SigningKeyList:
        """Refuse whatever a key signed, and publish it no more. Raises `not_found`.

        Refused first: if this replica dies in between, the key is still there to be revoked again.
        """
        key_rotation.named(await self.ring.read(), call.kid)
        await self.sessions.revoke("key", call.kid, self.clock.now(), "operator")
        spare = await self.ring.spare()
        return _shown(await self.ring.change(partial(key_rotation.removed, kid=call.kid, spare=spare)))

    async def rewrap_signing_keys(self, _call: contract.RewrapSigningKeys) -> SigningKeyList:
        """Encrypt all private keys under the current wrapping key.

        Raises `internal` when one is under neither the current nor the previous; then none is changed.
        """
        return _shown(await self.ring.change(self._rewrapped))

    def _rewrapped(self, keys: Keys, _now: datetime) -> Keys:
        return tuple(
            key
            if key.wrapped_by == self.wrapper.id
            else replace(
                key,
                wrapped_private_key=self.wrapper.rewrap(key.kid, key.wrapped_private_key),
                wrapped_by=self.wrapper.id,
            )
            for key in keys
        )


def _shown(keys: Keys) -> SigningKeyList:
    return SigningKeyList(
        keys=[
            SigningKeyInfo(
                kid=key.kid,
                algorithm=key.algorithm,
                state=key.state,
                created_at=key.created_at,
                activates_at=key.activates_at,
                retired_at=key.retired_at,
                wrapped_by=key.wrapped_by,
            )
            for key in keys
        ]
    )
