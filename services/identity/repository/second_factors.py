"""Second factors in PostgreSQL: TOTP secrets, encrypted, and digests of recovery codes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from shared.postgres import Database

_TOTP = "SELECT wrapped_secret, last_step, enabled_at FROM identity.totp WHERE user_id = $1"
# When it was turned on is compared too: a step of a secret that was replaced meanwhile says nothing about the new one,
# while one that was only encrypted anew is the same.
_SPEND_STEP = """
    UPDATE identity.totp SET last_step = $3 WHERE user_id = $1 AND enabled_at = $2 AND last_step < $3
    RETURNING user_id
"""
_SPEND_RECOVERY_CODE = "DELETE FROM identity.recovery_codes WHERE user_id = $1 AND digest = ANY($2) RETURNING user_id"
_ENABLE = """
    INSERT INTO identity.totp (user_id, wrapped_secret, last_step, enabled_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (user_id) DO NOTHING
    RETURNING user_id
"""
_FORGET_RECOVERY_CODES = "DELETE FROM identity.recovery_codes WHERE user_id = $1"
_KEEP_RECOVERY_CODE = "INSERT INTO identity.recovery_codes (user_id, digest) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_DISABLE = "DELETE FROM identity.totp WHERE user_id = $1"
_WRAPPED = """
    SELECT user_id, wrapped_secret FROM identity.totp WHERE $1::uuid IS NULL OR user_id > $1 ORDER BY user_id LIMIT $2
"""
_REWRAP = """
    UPDATE identity.totp SET wrapped_secret = $3 WHERE user_id = $1 AND wrapped_secret = $2 RETURNING user_id
"""
_REKEY_RECOVERY_CODE = "UPDATE identity.recovery_codes SET digest = $3 WHERE user_id = $1 AND digest = $2"
_SET_EMAIL = "UPDATE identity.users SET email_second_factor = $2, updated_at = $3 WHERE id = $1"


@dataclass(frozen=True, slots=True)
class StoredTotp:
    """A secret as it is stored, the newest step that was used, and since when it counts."""

    wrapped_secret: bytes
    last_step: int
    enabled_at: datetime


class SecondFactorRepository:
    """What second factors are proved against. Each code is spent by one statement, and so by one request."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def totp(self, user_id: UUID) -> StoredTotp | None:
        """The user's secret, None when TOTP is off."""
        row = await self._database.fetchrow(_TOTP, user_id)
        return None if row is None else StoredTotp(*row)

    async def spend_step(self, user_id: UUID, enabled_at: datetime, step: int) -> bool:
        """Use a step of the secret that counts since `enabled_at` up, with all before it.

        False when it was used already (RFC 6238 §5.2, user-pains row 14).
        """
        return await self._database.fetchrow(_SPEND_STEP, user_id, enabled_at, step) is not None

    async def spend_recovery_code(self, user_id: UUID, digests: Sequence[bytes]) -> bool:
        """Use the recovery code up of which one of these is kept; False when there is no such code (any more)."""
        return await self._database.fetchrow(_SPEND_RECOVERY_CODE, user_id, digests) is not None

    async def enable_totp(self, user_id: UUID, totp: StoredTotp, recovery_digests: Iterable[bytes]) -> bool:
        """Turn TOTP on with these recovery codes; False, and nothing done, when it is on or the user is no more."""
        try:
            async with self._database.transaction() as connection:
                if not await connection.fetchval(
                    _ENABLE, user_id, totp.wrapped_secret, totp.last_step, totp.enabled_at
                ):
                    return False
                await connection.execute(_FORGET_RECOVERY_CODES, user_id)
                await connection.executemany(_KEEP_RECOVERY_CODE, [(user_id, digest) for digest in recovery_digests])
        except asyncpg.ForeignKeyViolationError:
            return False
        return True

    async def disable_totp(self, user_id: UUID) -> None:
        """Turn TOTP off and forget its recovery codes."""
        async with self._database.transaction() as connection:
            await connection.execute(_DISABLE, user_id)
            await connection.execute(_FORGET_RECOVERY_CODES, user_id)

    async def wrapped(self, after: UUID | None, limit: int) -> list[tuple[UUID, bytes]]:
        """`limit` users with TOTP in order of their ids, those behind `after`, and their secrets as they are stored."""
        return [(row[0], row[1]) for row in await self._database.fetch(_WRAPPED, after, limit)]

    async def rewrap(self, user_id: UUID, old: bytes, new: bytes, digests: Mapping[bytes, bytes]) -> bool:
        """Store a secret anew, and digests of its recovery codes by what they were; False when it was replaced."""
        async with self._database.transaction() as connection:
            if not await connection.fetchval(_REWRAP, user_id, old, new):
                return False
            await connection.executemany(_REKEY_RECOVERY_CODE, [(user_id, *pair) for pair in digests.items()])
        return True

    async def set_email(self, user_id: UUID, now: datetime, *, on: bool) -> None:
        """Turn the e-mailed factor on or off."""
        await self._database.execute(_SET_EMAIL, user_id, on, now)
