"""Users and sessions by the million, written set by set into the services' own tables.

Everything about them follows from their numbers, so that the load can name any of them without reading it first.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import md5
from uuid import UUID

import asyncpg

from tests.bench.operations import CLIENT_ID

EXPIRING = 5
"""The last of every so many sessions is the one that `expire` ends; no load uses it."""

_CHUNK = 250_000
_STATEMENT_SECONDS = 600.0

_USERS = """
    INSERT INTO identity.users (id, email, created_at, updated_at)
    SELECT md5('user ' || n)::uuid, 'user-' || n || '@example.com', now(), now()
    FROM generate_series($1::int, $2::int) n
"""
_PASSWORDS = """
    INSERT INTO password.passwords (user_id, hash, changed_at)
    SELECT md5('user ' || n)::uuid, $3, now() FROM generate_series($1::int, $2::int) n
"""
_SESSIONS = """
    INSERT INTO token.sessions (id, user_id, client_id, dialect, methods, created_at, rotated_at, expires_at)
    SELECT md5('session ' || n)::uuid, md5('user ' || n / $3::int)::uuid,
        CASE n % 2 WHEN 0 THEN $4 ELSE 'directus' END, CASE n % 2 WHEN 0 THEN 'oauth2' ELSE 'directus' END,
        '{pwd}', now() - n % 6 * interval '1 day', now(), now() + interval '6 days'
    FROM generate_series($1::int, $2::int) n
"""
_EXPIRE = """
    UPDATE token.sessions SET expires_at = now() - interval '2 days'
    WHERE id IN (SELECT md5('session ' || n)::uuid FROM generate_series($1::int - 1, $2::int, $1) n)
"""
_EXPIRED = "SELECT count(*) FROM token.sessions WHERE expires_at < now() - interval '1 day'"
_UPDATES = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relid = 'token.sessions'::regclass"


@dataclass(frozen=True)
class Size:
    """How many there are. Each user has the same number of sessions, alternately of oauth2 and of directus."""

    users: int
    sessions: int

    @property
    def each(self) -> int:
        """Sessions of one user."""
        return self.sessions // self.users

    def __str__(self) -> str:
        return f"{self.users:,} users, {self.sessions:,} sessions"


def email(user: int) -> str:
    """The address of a user."""
    return f"user-{user}@example.com"


def session_id(session: int) -> UUID:
    """The id of a session."""
    return UUID(md5(f"session {session}".encode(), usedforsecurity=False).hexdigest())


class Data:
    """The tables of one platform. Each statement is given ten minutes."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection

    @classmethod
    @asynccontextmanager
    async def connected(cls, url: str) -> AsyncIterator["Data"]:
        """As the database's owner, whose URL it is."""
        connection = await asyncpg.connect(url, command_timeout=_STATEMENT_SECONDS)
        try:
            yield cls(connection)
        finally:
            await connection.close()

    async def fill(self, size: Size, known: str) -> None:
        """Make users and sessions; the password of all is that of the user whose address is `known`."""
        hashed = await self._connection.fetchval(
            "SELECT hash FROM password.passwords JOIN identity.users ON id = user_id WHERE email = $1", known
        )
        for first, last in _chunks(size.users):
            await self._connection.execute(_USERS, first, last)
            await self._connection.execute(_PASSWORDS, first, last, hashed)
        for first, last in _chunks(size.sessions):
            await self._connection.execute(_SESSIONS, first, last, size.each, CLIENT_ID)
        await self._settle()

    async def expire(self, size: Size) -> None:
        """End one session of every `EXPIRING`, at once and long enough ago to be deleted."""
        await self._connection.execute(_EXPIRE, EXPIRING, size.sessions - 1)
        await self._settle()

    async def expired(self) -> int:
        """How many sessions wait to be deleted."""
        return int(await self._connection.fetchval(_EXPIRED))

    async def counters(self) -> dict[UUID, int]:
        """How often each session was refreshed, without those that never were.

        Reads the whole table, which leaves PostgreSQL's cache as it is; to ask for single sessions would fill it with
        just those that the load is about to use.
        """
        rows = await self._connection.fetch("SELECT id, counter FROM token.sessions WHERE counter > 0")
        return {row["id"]: row["counter"] for row in rows}

    async def updates(self) -> tuple[int, int]:
        """How many changes of sessions there have been, and how many of them changed no index."""
        row = await self._connection.fetchrow(_UPDATES)
        assert row is not None
        return row["n_tup_upd"], row["n_tup_hot_upd"]

    async def mebibytes(self) -> float:
        """What the database takes on the disk."""
        return float(await self._connection.fetchval("SELECT pg_database_size(current_database())")) / 2**20

    async def _settle(self) -> None:
        """Do now what autovacuum and the checkpointer would otherwise do while something is measured."""
        await self._connection.execute("VACUUM ANALYZE")
        await self._connection.execute("CHECKPOINT")


def _chunks(number: int) -> Iterator[tuple[int, int]]:
    """The first and the last of each part of so many."""
    for first in range(0, number, _CHUNK):
        yield first, min(first + _CHUNK, number) - 1
