"""The pool of one component, with every fault of the database told as `unavailable`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from copy import copy
from typing import Any, Self

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from shared.errors import unavailable
from shared.postgres.servers import Servers

Connection = PoolConnectionProxy  # the type parameter is asyncpg's record class; all of ours are the default one

_FAULTS = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.exceptions.TargetServerAttributeNotMatched,
)


class Database:
    """A pool that connects when it is first needed, so that the component starts before the database does.

    Every wait has a deadline: `acquire_seconds` for a free connection, `lock_seconds` for somebody's lock,
    `command_seconds` for a statement. The server ends what a component that is gone has left behind: a statement after
    twice that time, a transaction after `idle_seconds` without a statement, so that its locks hold nobody up.

    A connection is replaced after `max_age_seconds` idle. All are left at once when a server has turned read-only
    (SQLSTATE 25006; gpustack/gpustack#6105: a pool pinned to a demoted primary) or does not answer any more; new ones
    lead to whichever server of the URL can be written to.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        max_size: int = 10,
        acquire_seconds: float = 1.0,
        lock_seconds: float = 1.0,
        command_seconds: float = 3.0,
        idle_seconds: float = 15.0,
        max_age_seconds: float = 300.0,
    ) -> None:
        """`url` is a PostgreSQL URL with one or several hosts; `name` is shown in the server's list of connections."""
        self._servers = Servers(url)
        self._name = name
        self._max_size = max_size
        self._acquire_seconds = acquire_seconds
        self._lock_seconds = lock_seconds
        self._command_seconds = command_seconds
        self._idle_seconds = idle_seconds
        self._max_age_seconds = max_age_seconds
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._room: asyncio.Semaphore | None = None

    async def __aenter__(self) -> Self:
        """Make the pool; no connection is opened yet."""
        self._pool = await asyncpg.create_pool(
            min_size=0,
            max_size=self._max_size,
            max_inactive_connection_lifetime=self._max_age_seconds,
            command_timeout=self._command_seconds,
            connect=self._connect,
            init=self._set_limits,
            reset=_leave_as_it_is,
            server_settings={"application_name": f"dragoman {self._name}", "timezone": "UTC"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close after the connections in use are given back, or by force after a few seconds."""
        if self._pool is None:
            return
        try:
            async with asyncio.timeout(self._command_seconds):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection outside of a transaction. Raises `unavailable` for whatever is the database's fault."""
        assert self._pool is not None, "the database is used outside of its context"
        try:
            async with self._lent(self._pool) as connection:
                yield connection
        except asyncpg.ReadOnlySQLTransactionError:
            await self._pool.expire_connections()
            raise unavailable("the database is read-only") from None
        except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as error:
            raise unavailable(f"the database is not migrated: {error}") from None
        except TimeoutError:
            raise unavailable("the database did not answer in time") from None
        except _FAULTS as error:
            raise unavailable(f"the database is unavailable: {type(error).__name__}") from None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection inside a transaction (read committed), rolled back when the block raises."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def fetchrow(self, query: str, *arguments: Any) -> asyncpg.Record | None:
        """The first row of one statement, None without one."""
        async with self.connection() as connection:
            return await connection.fetchrow(query, *arguments)

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """All rows of one statement."""
        async with self.connection() as connection:
            return await connection.fetch(query, *arguments)

    async def execute(self, query: str, *arguments: Any) -> None:
        """Run one statement."""
        async with self.connection() as connection:
            await connection.execute(query, *arguments)

    def all_but(self, number: int) -> "Database":
        """The same pool, of which `number` connections are always left to others.

        For what uses one table: when that is locked, or slow, whoever does not need it goes on.
        """
        part = copy(self)
        part._room = asyncio.Semaphore(max(1, self._max_size - number))  # noqa: SLF001 - it is one of us
        return part

    async def check_writable(self, schema: str) -> None:
        """Write a row into `schema`: raises `unavailable` when the server is gone, read-only or full."""
        await self.execute(
            f"INSERT INTO {schema}.readiness (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET checked_at = now()"
        )

    @asynccontextmanager
    async def _lent(self, pool: "asyncpg.Pool[asyncpg.Record]") -> AsyncIterator[Connection]:
        if self._room is not None:
            # Nobody sets an alarm for what does not wait.
            async with asyncio.timeout(self._acquire_seconds) if self._room.locked() else nullcontext():
                await self._room.acquire()
        try:
            connection = await pool.acquire(timeout=self._acquire_seconds)
            try:
                yield connection
            except (TimeoutError, asyncio.CancelledError):
                await _give_back_or_leave(pool, connection)
                raise
            finally:
                await pool.release(connection)
        finally:
            if self._room is not None:
                self._room.release()

    async def _connect(self, *_: object, **options: Any) -> "asyncpg.Connection[asyncpg.Record]":
        return await self._servers.connect(self._acquire_seconds, **options)

    async def _set_limits(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        """What the server itself sees to.

        Not among the parameters of the start, since PgBouncer refuses those that it does not know. A statement has
        longer than we wait for it, so that only those that nobody waits for end by this.
        """
        await connection.execute(
            f"SET lock_timeout = {_milliseconds(self._lock_seconds)};"
            f"SET statement_timeout = {_milliseconds(2 * self._command_seconds)};"
            f"SET idle_in_transaction_session_timeout = {_milliseconds(self._idle_seconds)}"
        )


async def _give_back_or_leave(pool: "asyncpg.Pool[asyncpg.Record]", connection: Connection) -> None:
    """Give back a connection whose statement was given up.

    Where not even that is confirmed, the server hangs or the way there is gone; then the connections that nobody has
    tried yet are left too.
    """
    behind = connection._con  # type: ignore[attr-defined]  # noqa: SLF001 - forgotten when it is given back
    try:
        await pool.release(connection)
    finally:
        if behind.is_closed():
            await pool.expire_connections()


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


async def _leave_as_it_is(_connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """What a connection is given back with: nothing.

    The driver would send a statement that undoes locks, cursors and settings of the session, a round trip for every
    use. Nothing here has any: locks are those of a transaction, settings stay. A transaction that is open is rolled
    back all the same.
    """
