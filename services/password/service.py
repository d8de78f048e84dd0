"""What the password service does, one method per call."""

import asyncio
from collections.abc import Sequence
from typing import Self
from uuid import UUID

from services.password.domain.foreign import UnsupportedHash, parse
from services.password.domain.hasher import Hasher
from services.password.domain.policy import Policy, Reason
from services.password.domain.text import is_hashable
from services.password.repository import PasswordRepository
from shared.bus.dispatch import Delivery
from shared.bus.messages import Done
from shared.contracts.identity import UserDeleted
from shared.contracts.password import (
    CheckPasswordPolicy,
    ImportPasswordHash,
    PasswordSet,
    SetPassword,
    Verification,
    VerifyPassword,
)
from shared.errors import Error, ErrorCode
from shared.hashing import HashPool
from shared.telemetry import Telemetry

_NOBODY = UUID(int=0)
"""Looked up for an unknown user, so that the database's part of the time is spent as well."""


class PasswordService:
    """Verifies, sets and imports passwords. Leaving its context waits for the rehashes still under way."""

    def __init__(
        self,
        passwords: PasswordRepository,
        hasher: Hasher,
        pool: HashPool,
        policy: Policy,
        telemetry: Telemetry,
    ) -> None:
        self._passwords = passwords
        self._hasher = hasher
        self._pool = pool
        self._policy = policy
        self._log = telemetry.log
        self._rehashes: set[asyncio.Task[None]] = set()

    async def verify(self, call: VerifyPassword) -> Verification:
        """Yes or no; a no takes the time of one of our hashes, whether or not there is a user, a hash or a sane length.

        The exception is a user whose hash was made elsewhere: it takes its own time until a sign-in replaces it.
        """
        typed = call.password.get_secret_value()
        stored = await self._passwords.find(call.user_id or _NOBODY)
        if stored is None or call.user_id is None or not is_hashable(typed):
            await self._pool.run(self._hasher.verify, self._hasher.dummy, typed if is_hashable(typed) else "")
            return Verification(matches=False)
        verdict = await self._pool.run(self._hasher.verify, stored, typed)
        if verdict.outdated:
            self._rehash_later(call.user_id, stored, typed)
        return Verification(matches=verdict.matches)

    async def check_policy(self, call: CheckPasswordPolicy) -> Done:
        """Accept or refuse a password as `set` would, and keep nothing."""
        self._refuse(self._policy.reasons(call.password.get_secret_value(), call.context))
        return Done()

    async def set(self, call: SetPassword) -> PasswordSet:
        """Store the hash of a password that the policy accepts, or of any that can be verified when it is not asked."""
        password = call.password.get_secret_value()
        if call.enforce_policy:
            self._refuse(self._policy.reasons(password, call.context))
        elif not is_hashable(password):
            self._refuse([Reason.TOO_LONG if password else Reason.TOO_SHORT])
        stored = await self._pool.run(self._hasher.hash, password)
        return PasswordSet(changed_at=await self._passwords.save(call.user_id, stored))

    async def import_hash(self, call: ImportPasswordHash) -> PasswordSet:
        """Take over a hash made elsewhere as it is."""
        stored = call.password_hash.get_secret_value()
        try:
            parse(stored)
        except UnsupportedHash as error:
            raise Error(ErrorCode.INVALID_REQUEST, str(error), detail={"field": "password_hash"}) from None
        return PasswordSet(changed_at=await self._passwords.save(call.user_id, stored))

    async def on_user_deleted(self, event: UserDeleted, delivery: Delivery) -> None:
        """Keep nothing of a user who is no more; a repeat finds nothing left."""
        del delivery
        await self._passwords.forget(event.user_id)

    def _refuse(self, reasons: Sequence[Reason]) -> None:
        if reasons:
            detail = {"reasons": reasons, "min_length": self._policy.min_length}
            raise Error(ErrorCode.WEAK_PASSWORD, f"the password is {', '.join(reasons)}", detail=detail)

    def _rehash_later(self, user_id: UUID, stored: str, password: str) -> None:
        # Beside the call, so that the sign-in neither waits for it nor fails with it.
        task = asyncio.create_task(self._rehash(user_id, stored, password))
        self._rehashes.add(task)
        task.add_done_callback(self._rehashes.discard)

    async def _rehash(self, user_id: UUID, stored: str, password: str) -> None:
        try:
            fresh = await self._pool.run(self._hasher.hash, password)
            await self._passwords.replace(user_id, stored, fresh)
        except Exception as error:  # noqa: BLE001 - the next sign-in tries again
            self._log.warning("rehash failed", user_id=str(user_id), reason=repr(error))

    async def __aenter__(self) -> Self:
        """Nothing to do."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Wait for the rehashes under way; each is one hash and one statement."""
        await asyncio.gather(*self._rehashes)
