"""All SQL of the password service."""

from datetime import datetime
from uuid import UUID

from shared.postgres import Database

_FIND = "SELECT hash FROM password.passwords WHERE user_id = $1"
_SAVE = """
    INSERT INTO password.passwords (user_id, hash, changed_at) VALUES ($1, $2, $3)
    ON CONFLICT (user_id) DO UPDATE SET hash = excluded.hash, changed_at = excluded.changed_at
"""
_REPLACE = "UPDATE password.passwords SET hash = $3 WHERE user_id = $1 AND hash = $2"


class PasswordRepository:
    """One hash per user."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, user_id: UUID) -> str | None:
        """The user's hash, None without one."""
        row = await self._database.fetchrow(_FIND, user_id)
        return None if row is None else str(row["hash"])

    async def save(self, user_id: UUID, stored: str, changed_at: datetime) -> None:
        """Make `stored` the user's hash, whatever was there before."""
        await self._database.execute(_SAVE, user_id, stored, changed_at)

    async def replace(self, user_id: UUID, old: str, new: str) -> None:
        """Another hash of the same password: stored only while `old` is still the user's hash."""
        await self._database.execute(_REPLACE, user_id, old, new)
