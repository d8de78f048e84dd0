"""All SQL of the password service."""

from datetime import datetime
from uuid import UUID

from shared.bus.outbox import Outbox
from shared.clock import Clock
from shared.contracts.password import PasswordChanged
from shared.postgres import Database

_FIND = "SELECT hash FROM password.passwords WHERE user_id = $1"
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
_EXISTS = "SELECT EXISTS (SELECT FROM password.passwords WHERE user_id = $1)"
_SAVE = """
    INSERT INTO password.passwords (user_id, hash, changed_at) VALUES ($1, $2, $3)
    ON CONFLICT (user_id) DO UPDATE SET hash = excluded.hash, changed_at = excluded.changed_at
"""
_FORGET = "DELETE FROM password.passwords WHERE user_id = $1"
_REPLACE = "UPDATE password.passwords SET hash = $3 WHERE user_id = $1 AND hash = $2"


class PasswordRepository:
    """One hash per user."""

    def __init__(self, database: Database, outbox: Outbox, clock: Clock) -> None:
        """`clock` says when a password counts, which is known only once nobody else is changing it."""
        self._database = database
        self._outbox = outbox
        self._clock = clock

    async def find(self, user_id: UUID) -> str | None:
        """The user's hash, None without one."""
        row = await self._database.fetchrow(_FIND, user_id)
        return None if row is None else str(row["hash"])

    async def save(self, user_id: UUID, stored: str) -> datetime:
        """Make `stored` the user's hash, and tell of it when there was one before; returns since when it counts."""
        async with self._database.transaction() as connection:
            # Changes of one user's password come one after the other, the first ones too, for which there is no row
            # to lock yet; hash collisions only make strangers wait for each other.
            await connection.execute(_LOCK, str(user_id))
            changed_at = self._clock.now()
            replaced = await connection.fetchval(_EXISTS, user_id)
            await connection.execute(_SAVE, user_id, stored, changed_at)
            if replaced:
                await self._outbox.add(connection, PasswordChanged(user_id=user_id, changed_at=changed_at))
        return changed_at

    async def forget(self, user_id: UUID) -> None:
        """Remove the user's hash, if there is one, and tell nobody."""
        await self._database.execute(_FORGET, user_id)

    async def replace(self, user_id: UUID, old: str, new: str) -> None:
        """Another hash of the same password: stored only while `old` is still the user's hash."""
        await self._database.execute(_REPLACE, user_id, old, new)
