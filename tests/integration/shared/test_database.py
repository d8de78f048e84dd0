"""What the database wrapper does when PostgreSQL, or the way to it, fails."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from shared.errors import Error, ErrorCode
from shared.postgres import Database
from tests.support.proxy import TcpProxy


@pytest.fixture
async def proxy(postgres_url: str) -> AsyncIterator[TcpProxy]:
    """The way to the worker's database."""
    parts = urlsplit(postgres_url)
    async with TcpProxy(parts.hostname or "", parts.port or 5432) as made:
        yield made


@pytest.fixture
async def database(postgres_url: str, proxy: TcpProxy) -> AsyncIterator[Database]:
    """The worker's database through the proxy, with little patience."""
    parts = urlsplit(postgres_url)
    address = f"{parts.username}:{parts.password}@127.0.0.1:{proxy.port}"
    url = urlunsplit(parts._replace(netloc=address))
    async with Database(url, name="test", max_size=2, acquire_seconds=0.5, command_seconds=0.3) as opened:
        yield opened


async def unavailable(database: Database) -> str:
    """The message of the `unavailable` that a write ends with."""
    with pytest.raises(Error) as raised:
        await database.check_writable("identity")
    assert raised.value.code == ErrorCode.UNAVAILABLE
    assert raised.value.retry_after is not None
    return raised.value.message


async def test_a_writable_database_is_ready(database: Database) -> None:
    """The check passes, again and again."""
    await database.check_writable("identity")
    await database.check_writable("identity")


async def test_a_server_that_is_gone_is_unavailable_and_found_again(database: Database, proxy: TcpProxy) -> None:
    """Neither a cut connection nor a refused one reaches the caller as anything else, and both pass."""
    await database.check_writable("identity")
    proxy.refusing = True
    proxy.cut()
    await unavailable(database)
    await unavailable(database)
    proxy.refusing = False
    await database.check_writable("identity")


async def test_a_connection_cut_inside_a_transaction_is_unavailable(database: Database, proxy: TcpProxy) -> None:
    """A transaction that lost its connection did not happen."""

    async def work() -> None:
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO identity.readiness (id) VALUES (7)")
            proxy.cut()
            await connection.execute("SELECT 1")

    with pytest.raises(Error) as raised:
        await work()
    assert raised.value.code == ErrorCode.UNAVAILABLE
    assert await database.fetchrow("SELECT 1 FROM identity.readiness WHERE id = 7") is None


async def test_a_server_that_does_not_answer_is_unavailable_in_time(database: Database, proxy: TcpProxy) -> None:
    """A frozen server costs no more than the statement's time limit and a little."""
    await database.check_writable("identity")
    proxy.freeze()
    async with asyncio.timeout(2.0):
        await unavailable(database)
        await unavailable(database)
    proxy.thaw()
    async with asyncio.timeout(5.0):
        while True:
            try:
                await database.check_writable("identity")
                break
            except Error:
                await asyncio.sleep(0.05)


async def test_a_statement_that_takes_too_long_is_unavailable(database: Database) -> None:
    """Its connection is of use again afterwards."""
    with pytest.raises(Error) as raised:
        await database.execute("SELECT pg_sleep(5)")
    assert raised.value.code == ErrorCode.UNAVAILABLE
    await database.check_writable("identity")


async def test_a_used_up_pool_is_unavailable_in_time(database: Database) -> None:
    """Whoever finds no free connection is told so instead of waiting behind the others."""
    async with database.connection(), database.connection():
        started = asyncio.get_running_loop().time()
        await unavailable(database)
        assert asyncio.get_running_loop().time() - started < 1.0
    await database.check_writable("identity")


async def test_a_server_that_turned_read_only_is_left_at_once_and_found_again(
    database: Database, postgres_url: str
) -> None:
    """After a failover the pool does not stick to the demoted primary."""

    async def write_in_demoted() -> None:
        async with database.transaction() as connection:
            await connection.execute("SET TRANSACTION READ ONLY")
            await connection.execute("INSERT INTO identity.readiness (id) VALUES (8)")

    await database.check_writable("identity")
    name = urlsplit(postgres_url).path.strip("/")
    admin = await asyncpg.connect(postgres_url)
    try:
        await admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        with pytest.raises(Error) as raised:
            await write_in_demoted()
        assert raised.value.message == "the database is read-only"
        await unavailable(database)
    finally:
        await admin.execute("SET default_transaction_read_only = off")
        await admin.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        await admin.close()
    await database.check_writable("identity")


async def test_a_schema_that_is_not_migrated_yet_is_unavailable(database: Database) -> None:
    """A component may start before its migration, and says what it waits for."""
    with pytest.raises(Error) as raised:
        await database.check_writable("nowhere")
    assert raised.value.code == ErrorCode.UNAVAILABLE
    assert "not migrated" in raised.value.message


async def test_a_mistake_in_a_statement_is_no_fault_of_the_database(database: Database) -> None:
    """A bug stays a bug: it is not retried as if it would pass."""
    with pytest.raises(asyncpg.PostgresSyntaxError):
        await database.execute("SELEC 1")


async def test_what_the_block_raises_rolls_back_and_passes_through(database: Database) -> None:
    """An error of the service's own is not taken for one of the database's."""

    async def work() -> None:
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO identity.readiness (id) VALUES (9)")
            raise Error(ErrorCode.CONFLICT, "taken")

    with pytest.raises(Error) as raised:
        await work()
    assert raised.value.code == ErrorCode.CONFLICT
    assert await database.fetchrow("SELECT 1 FROM identity.readiness WHERE id = 9") is None
