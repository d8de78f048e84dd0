"""Users in PostgreSQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from services.identity.domain.providers import ProviderLink
from shared.bus.messages import Event
from shared.bus.outbox import Outbox
from shared.contracts.identity import User, UserState
from shared.errors import Error, ErrorCode
from shared.identifiers import Identifier
from shared.postgres import Connection, Database
from shared.together import Together

# TOTP before e-mail: the first is the one that a sign-in asks for. A scalar subquery, since for EXISTS the planner may
# choose to read everybody's secrets first, however few users are asked for.
_COLUMNS = """
    id, email, phone, username, state, created_at,
    array_remove(ARRAY[
        CASE WHEN (SELECT true FROM identity.totp WHERE totp.user_id = users.id) THEN 'totp' END,
        CASE WHEN email_second_factor THEN 'email' END
    ], NULL) AS second_factors
"""
_FIND = {kind: f"SELECT {_COLUMNS} FROM identity.users WHERE {kind} = $1" for kind in ("email", "phone", "username")}
_GET = f"SELECT {_COLUMNS} FROM identity.users WHERE id = ANY ($1)"
_INSERT = """
    INSERT INTO identity.users (id, email, phone, username, state, email_second_factor, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
    RETURNING id
"""
_REPLACE = """
    UPDATE identity.users SET email = $2, phone = $3, username = $4, state = $5, email_second_factor = $6,
        updated_at = $7, password_changed_at = $7
    WHERE id = $1
    RETURNING id
"""
_LINKED = f"""
    SELECT {_COLUMNS} FROM identity.users
    WHERE id = (SELECT user_id FROM identity.provider_links WHERE provider = $1 AND subject = $2)
"""
_LINK = "INSERT INTO identity.provider_links (provider, subject, user_id, linked_at) VALUES ($1, $2, $3, $4)"
_FORGET_TOTP = "DELETE FROM identity.totp WHERE user_id = $1"
_FORGET_RECOVERY_CODES = "DELETE FROM identity.recovery_codes WHERE user_id = $1"
_FORGET_LINKS = "DELETE FROM identity.provider_links WHERE user_id = $1"
_SET_TOTP = "INSERT INTO identity.totp (user_id, wrapped_secret, last_step, enabled_at) VALUES ($1, $2, 0, $3)"
_SET_STATE = f"""
    UPDATE identity.users SET state = $2, updated_at = $3 WHERE id = $1 AND state <> $2 RETURNING {_COLUMNS}
"""
_PASSWORD_CHANGED = f"""
    UPDATE identity.users SET
        state = CASE state WHEN 'must_change_password' THEN 'active' ELSE state END,
        password_changed_at = $2, updated_at = $2
    WHERE id = $1
    RETURNING {_COLUMNS}
"""
_PASSWORD_CHANGED_AT = "SELECT password_changed_at FROM identity.users WHERE id = $1"
_DELETE = "DELETE FROM identity.users WHERE id = $1 RETURNING id"
_PAGE = f"""
    SELECT {_COLUMNS} FROM identity.users
    WHERE $1::uuid IS NULL OR (created_at, id) > (SELECT created_at, id FROM identity.users WHERE id = $1)
    ORDER BY created_at, id LIMIT $2
"""


@dataclass(frozen=True, slots=True)
class NewFactors:
    """The second factors that a user begins with."""

    email: bool = False
    wrapped_totp: bytes | None = None


class UserRepository:
    """Users in PostgreSQL; a change and the event that tells of it commit together."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox
        self._by_id = Together(self._fetch)

    async def find(self, identifier: Identifier) -> User | None:
        """The user whom `identifier` names, None without one."""
        if identifier.kind == "id":
            return await self.get(UUID(identifier.value))
        return _user(await self._database.fetchrow(_FIND[identifier.kind], identifier.value))

    async def get(self, user_id: UUID) -> User | None:
        """The user with that id, None without one."""
        return await self._by_id.ask(user_id)

    async def find_linked(self, link: ProviderLink) -> User | None:
        """The user whom a provider has signed in by that name, None without one."""
        return _user(await self._database.fetchrow(_LINKED, link.provider, link.subject))

    async def link(self, link: ProviderLink, user_id: UUID, now: datetime) -> None:
        """Let a provider sign a user in. Raises `conflict` when it is somebody's, or provider or user are gone."""
        try:
            await self._database.execute(_LINK, link.provider, link.subject, user_id, now)
        except (asyncpg.UniqueViolationError, asyncpg.ForeignKeyViolationError):
            raise Error(ErrorCode.CONFLICT, "linked, or gone, meanwhile") from None

    async def insert(self, user: User, factors: NewFactors, *events: Event, link: ProviderLink | None = None) -> User:
        """Add a user, whom a provider may sign in with a `link`.

        Raises `conflict` with `detail.field` when an identifier, or the link, is taken, or the provider is gone.
        """
        return await self._write(_INSERT, user, factors, user.created_at, events, link)

    async def replace(self, user: User, factors: NewFactors, now: datetime, *events: Event) -> User:
        """Overwrite all of a user but the id. Raises `conflict` as `insert` does; `not_found` when it was deleted."""
        return await self._write(_REPLACE, user, factors, now, events)

    async def set_state(self, user_id: UUID, state: UserState, now: datetime, *events: Event) -> User | None:
        """Change the state and tell of it; None, and no event, when it is that already."""
        async with self._database.transaction() as connection:
            user = _user(await connection.fetchrow(_SET_STATE, user_id, state, now))
            if user is not None:
                await self._add(connection, events)
            return user

    async def password_changed(self, user_id: UUID, now: datetime, *events: Event) -> User | None:
        """Note that the password was replaced: nobody has to change it any more. None without such a user."""
        async with self._database.transaction() as connection:
            user = _user(await connection.fetchrow(_PASSWORD_CHANGED, user_id, now))
            if user is not None:
                await self._add(connection, events)
            return user

    async def password_changed_at(self, user_id: UUID) -> datetime | None:
        """When the password was replaced last, None when it never was."""
        row = await self._database.fetchrow(_PASSWORD_CHANGED_AT, user_id)
        return None if row is None else row["password_changed_at"]

    async def delete(self, user_id: UUID, *events: Event) -> None:
        """Remove a user and tell of it; nothing, and no event, when there is none."""
        async with self._database.transaction() as connection:
            if await connection.fetchval(_DELETE, user_id):
                await self._add(connection, events)

    async def tell(self, event: Event) -> None:
        """Have something told that changes nothing here."""
        async with self._database.transaction() as connection:
            await self._add(connection, (event,))

    async def page(self, after: UUID | None, limit: int) -> list[User]:
        """`limit` users in order of creation, those behind `after`."""
        return [User(**dict(row)) for row in await self._database.fetch(_PAGE, after, limit)]

    async def _fetch(self, user_ids: Sequence[UUID]) -> dict[UUID, User]:
        return {row["id"]: User(**dict(row)) for row in await self._database.fetch(_GET, user_ids)}

    async def _write(
        self,
        statement: str,
        user: User,
        factors: NewFactors,
        now: datetime,
        events: tuple[Event, ...],
        link: ProviderLink | None = None,
    ) -> User:
        identifiers = (user.email, user.phone, user.username)
        try:
            async with self._database.transaction() as connection:
                if not await connection.fetchval(statement, user.id, *identifiers, user.state, factors.email, now):
                    raise Error(ErrorCode.NOT_FOUND, "the user was deleted meanwhile")
                if statement is _REPLACE:
                    await connection.execute(_FORGET_TOTP, user.id)
                    await connection.execute(_FORGET_RECOVERY_CODES, user.id)
                    await connection.execute(_FORGET_LINKS, user.id)
                if factors.wrapped_totp is not None:
                    await connection.execute(_SET_TOTP, user.id, factors.wrapped_totp, now)
                if link is not None:
                    await connection.execute(_LINK, link.provider, link.subject, user.id, now)
                row = await connection.fetchrow(_GET, [user.id])
                await self._add(connection, events)
        except asyncpg.UniqueViolationError as error:
            field = (error.constraint_name or "").removeprefix("users_").removesuffix("_key")
            raise Error(ErrorCode.CONFLICT, f"the {field} is taken", detail={"field": field}) from None
        except asyncpg.ForeignKeyViolationError:
            raise Error(ErrorCode.CONFLICT, "the provider is gone", detail={"field": "provider"}) from None
        written = _user(row)
        assert written is not None
        return written

    async def _add(self, connection: Connection, events: tuple[Event, ...]) -> None:
        for event in events:
            await self._outbox.add(connection, event)


def _user(row: Any) -> User | None:
    return None if row is None else User(**dict(row))
