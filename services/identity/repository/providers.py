"""Providers in PostgreSQL."""

from datetime import datetime

import asyncpg

from shared.contracts.providers import Provider
from shared.postgres import Database

_GET = "SELECT configuration FROM identity.providers WHERE name = $1"
_ALL = "SELECT configuration FROM identity.providers ORDER BY name"
_ADD = """
    INSERT INTO identity.providers (name, configuration, changed_at) VALUES ($1, $2, $3)
    ON CONFLICT (name) DO NOTHING
    RETURNING name
"""
_REPLACE = """
    INSERT INTO identity.providers (name, configuration, changed_at) VALUES ($1, $2, $3)
    ON CONFLICT (name) DO UPDATE SET configuration = $2, changed_at = $3
"""
_FORGET_LINKS = "DELETE FROM identity.provider_links WHERE provider = $1"
_REMOVE = "DELETE FROM identity.providers WHERE name = $1 RETURNING name"


class ProviderRepository:
    """What operators have configured, as JSON: a kind of provider that comes later needs no other columns."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, name: str) -> Provider | None:
        """The provider of that name, None without one."""
        row = await self._database.fetchrow(_GET, name)
        return None if row is None else Provider.model_validate_json(row["configuration"])

    async def all(self) -> list[Provider]:
        """All of them, by name; none before the table was there, which is a release younger."""
        async with self._database.connection() as connection:
            try:
                rows = await connection.fetch(_ALL)
            except asyncpg.UndefinedTableError:
                return []
        return [Provider.model_validate_json(row["configuration"]) for row in rows]

    async def add(self, provider: Provider, now: datetime) -> bool:
        """Add a provider; False, and nothing done, when there is one of that name."""
        row = await self._database.fetchrow(_ADD, provider.name, provider.model_dump_json(), now)
        return row is not None

    async def replace(self, provider: Provider, now: datetime, *, keep_links: bool) -> None:
        """Add a provider, or overwrite the one of that name."""
        async with self._database.transaction() as connection:
            await connection.execute(_REPLACE, provider.name, provider.model_dump_json(), now)
            if not keep_links:
                await connection.execute(_FORGET_LINKS, provider.name)

    async def remove(self, name: str) -> bool:
        """Remove a provider with its links; False when there is none."""
        return await self._database.fetchrow(_REMOVE, name) is not None
