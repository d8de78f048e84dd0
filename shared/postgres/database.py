"""The pool of one component, with every fault of the database told as `unavailable`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import asyncpg
from asyncpg.connect_utils import SessionAttribute
from asyncpg.pool import PoolConnectionProxy

from shared.errors import unavailable

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
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.exceptions.TargetServerAttributeNotMatched,
)


class Database:
    """A pool that connects when it is first needed, so that the component starts before the database does.

    Every wait has a deadline: `acquire_seconds` for a free connection, `command_seconds` for a statement.
    A connection is replaced after `max_age_seconds` idle; a server that turned read-only (SQLSTATE 25006) is left at
    once (gpustack/gpustack#6105: a pool pinned to a demoted primary).
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        max_size: int = 10,
        acquire_seconds: float = 1.0,
        command_seconds: float = 3.0,
        max_age_seconds: float = 300.0,
    ) -> None:
        """`url` is a PostgreSQL URL; `name` is shown in the server's list of connections."""
        self._url = url
        self._name = name
        self._max_size = max_size
        self._acquire_seconds = acquire_seconds
        self._command_seconds = command_seconds
        self._max_age_seconds = max_age_seconds
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def __aenter__(self) -> Self:
        """Make the pool; no connection is opened yet."""
        self._pool = await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=self._max_size,
            max_inactive_connection_lifetime=self._max_age_seconds,
            command_timeout=self._command_seconds,
            timeout=self._acquire_seconds,
            reset=_leave_as_it_is,
            target_session_attrs=SessionAttribute.read_write,
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
            async with self._pool.acquire(timeout=self._acquire_seconds) as connection:
                yield connection
        except asyncpg.ReadOnlySQLTransactionError:
            await self._pool.expire_connections()
            raise unavailable("the database is read-only") from None
        except asyncpg.UndefinedTableError as error:
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

    async def check_writable(self, schema: str) -> None:
        """Write a row into `schema`: raises `unavailable` when the server is gone, read-only or full."""
        await self.execute(
            f"INSERT INTO {schema}.readiness (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET checked_at = now()"
        )


async def _leave_as_it_is(_connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """What a connection is given back with: nothing.

    The driver would send a statement that undoes locks, cursors and settings of the session, a round trip for every
    use. Nothing here has any: locks and settings are those of a transaction. A transaction that is open is rolled back
    all the same.
    """
