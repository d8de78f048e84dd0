"""Changed security settings in PostgreSQL."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from shared.bus.outbox import Outbox
from shared.contracts.identity import SecuritySettingChanged
from shared.postgres import Database

_ALL = "SELECT name, value, changed_at, changed_by FROM identity.security_settings"
_SET = """
    INSERT INTO identity.security_settings AS kept (name, value, changed_at, changed_by) VALUES ($1, $2, $3, $4)
    ON CONFLICT (name) DO UPDATE SET value = $2, changed_at = $3, changed_by = $4
    WHERE kept.value IS DISTINCT FROM $2
    RETURNING name
"""
_RESET = """
    UPDATE identity.security_settings SET value = NULL, changed_at = $2, changed_by = $3
    WHERE name = $1 AND value IS NOT NULL
    RETURNING name
"""


@dataclass(frozen=True, slots=True)
class StoredSetting:
    """A setting that somebody has changed; without a value they have put its default back."""

    name: str
    value: str | None
    changed_at: datetime
    changed_by: str


class SecuritySettingRepository:
    """What operators have changed, with who did it last and when; a change and its event commit together."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def all(self) -> list[StoredSetting]:
        """Every setting that was ever changed; none before the table was there, which is a release younger."""
        async with self._database.connection() as connection:
            try:
                rows = await connection.fetch(_ALL)
            except asyncpg.UndefinedTableError:
                return []
        return [StoredSetting(**dict(row)) for row in rows]

    async def change(self, setting: StoredSetting) -> bool:
        """Keep the change and tell of it; False, and no event, when it is so already."""
        who = (setting.changed_at, setting.changed_by)
        async with self._database.transaction() as connection:
            if setting.value is None:
                changed = await connection.fetchval(_RESET, setting.name, *who)
            else:
                changed = await connection.fetchval(_SET, setting.name, setting.value, *who)
            if changed is None:
                return False
            await self._outbox.add(
                connection,
                SecuritySettingChanged(
                    name=setting.name,
                    value=setting.value,
                    changed_by=setting.changed_by,
                    changed_at=setting.changed_at,
                ),
            )
        return True
