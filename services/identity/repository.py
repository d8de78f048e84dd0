"""All SQL of `identity`."""

from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from services.identity.domain import Identifier
from shared.bus.messages import Event
from shared.bus.outbox import Outbox
from shared.contracts.identity import User, UserState
from shared.errors import Error, ErrorCode
from shared.postgres import Connection, Database

_COLUMNS = "id, email, phone, username, state, created_at"
_FIND = {kind: f"SELECT {_COLUMNS} FROM identity.users WHERE {kind} = $1" for kind in ("email", "phone", "username")}
_FIND["id"] = f"SELECT {_COLUMNS} FROM identity.users WHERE id = $1::uuid"
_INSERT = f"""
    INSERT INTO identity.users (id, email, phone, username, state, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $6)
    RETURNING {_COLUMNS}
"""
_REPLACE = f"""
    UPDATE identity.users SET email = $2, phone = $3, username = $4, state = $5, updated_at = $6
    WHERE id = $1
    RETURNING {_COLUMNS}
"""
_SET_STATE = f"""
    UPDATE identity.users SET state = $2, updated_at = $3 WHERE id = $1 AND state <> $2 RETURNING {_COLUMNS}
"""
_DELETE = "DELETE FROM identity.users WHERE id = $1 RETURNING id"
_PAGE = f"""
    SELECT {_COLUMNS} FROM identity.users
    WHERE $1::uuid IS NULL OR (created_at, id) > (SELECT created_at, id FROM identity.users WHERE id = $1)
    ORDER BY created_at, id LIMIT $2
"""


class UserRepository:
    """Users in PostgreSQL; a change and the event that tells of it commit together."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def find(self, identifier: Identifier) -> User | None:
        """The user whom `identifier` names, None without one."""
        return _user(await self._database.fetchrow(_FIND[identifier.kind], identifier.value))

    async def insert(self, user: User, *events: Event) -> User:
        """Add a user. Raises `conflict` with `detail.field` when an identifier is taken."""
        return await self._write(_INSERT, user, user.created_at, events)

    async def replace(self, user: User, now: datetime, *events: Event) -> User:
        """Overwrite the identifiers and the state of a user. Raises `conflict` as `insert` does."""
        return await self._write(_REPLACE, user, now, events)

    async def set_state(self, user_id: UUID, state: UserState, now: datetime, *events: Event) -> User | None:
        """Change the state and tell of it; None, and no event, when it is that already."""
        async with self._database.transaction() as connection:
            user = _user(await connection.fetchrow(_SET_STATE, user_id, state, now))
            if user is not None:
                await self._add(connection, events)
            return user

    async def delete(self, user_id: UUID, *events: Event) -> None:
        """Remove a user and tell of it; nothing, and no event, when there is none."""
        async with self._database.transaction() as connection:
            if await connection.fetchval(_DELETE, user_id):
                await self._add(connection, events)

    async def page(self, after: UUID | None, limit: int) -> list[User]:
        """`limit` users in order of creation, those behind `after`."""
        return [User(**dict(row)) for row in await self._database.fetch(_PAGE, after, limit)]

    async def _write(self, statement: str, user: User, now: datetime, events: tuple[Event, ...]) -> User:
        try:
            async with self._database.transaction() as connection:
                row = await connection.fetchrow(
                    statement, user.id, user.email, user.phone, user.username, user.state, now
                )
                await self._add(connection, events)
        except asyncpg.UniqueViolationError as error:
            field = (error.constraint_name or "").removeprefix("users_").removesuffix("_key")
            raise Error(ErrorCode.CONFLICT, f"the {field} is taken", detail={"field": field}) from None
        written = _user(row)
        assert written is not None
        return written

    async def _add(self, connection: Connection, events: tuple[Event, ...]) -> None:
        for event in events:
            await self._outbox.add(connection, event)


def _user(row: Any) -> User | None:
    return None if row is None else User(**dict(row))
