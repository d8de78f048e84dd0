"""What the database wrapper does when PostgreSQL, or the way to it, fails."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from shared.errors import Error, ErrorCode
from shared.postgres import Database
from tests.support.proxy import TcpProxy
from tests.support.waiting import eventually


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
    await _writable_again(database, 5.0)


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
    """A component may start before its migration, and says what it waits for: a table, or a column."""
    for query in ("SELECT 1 FROM nowhere.readiness", "SELECT of_tomorrow FROM identity.readiness"):
        with pytest.raises(Error) as raised:
            await database.execute(query)
        assert raised.value.code == ErrorCode.UNAVAILABLE
        assert "not migrated" in raised.value.message


async def test_a_deadlock_is_unavailable(database: Database) -> None:
    """Whom the server picks to end a deadlock has done nothing, and may ask again."""
    locks = "SELECT pg_advisory_xact_lock($1)"
    has_second = asyncio.Event()

    async def second_then_first() -> None:
        async with database.transaction() as connection:
            await connection.execute("SET LOCAL deadlock_timeout = '100ms'")  # this one notices first
            await connection.execute(locks, 2)
            has_second.set()
            await connection.execute(locks, 1)

    async with asyncio.timeout(5.0), database.transaction() as connection:
        await connection.execute(locks, 1)
        other = asyncio.create_task(second_then_first())
        await has_second.wait()
        await connection.execute(locks, 2)
    with pytest.raises(Error) as raised:
        await other
    assert raised.value.code == ErrorCode.UNAVAILABLE


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


async def test_whoever_holds_part_of_the_pool_leaves_connections_to_others(database: Database) -> None:
    """What hangs in one part is told in time there, and is not noticed elsewhere."""
    part = database.all_but(1)
    async with part.connection():
        started = asyncio.get_running_loop().time()
        await unavailable(part)
        assert asyncio.get_running_loop().time() - started < 1.0
        await database.check_writable("identity")
    await part.check_writable("identity")


async def test_a_part_of_the_pool_is_never_nothing(database: Database) -> None:
    """However small the pool is, there is a connection."""
    await database.all_but(10).check_writable("identity")


async def test_a_lock_of_somebody_else_is_told_before_the_statement_s_time_is_over(postgres_url: str) -> None:
    """Whoever waits for a lock gives its connection back soon."""
    async with Database(postgres_url, name="test", lock_seconds=0.2, command_seconds=5.0) as database:
        async with database.transaction() as somebody:
            await somebody.execute("LOCK TABLE identity.readiness IN ACCESS EXCLUSIVE MODE")
            async with asyncio.timeout(2.0):
                await unavailable(database)
        await database.check_writable("identity")


async def test_what_a_component_that_is_gone_has_locked_is_free_again(postgres_url: str) -> None:
    """A transaction of which nothing is heard any more ends at the server, and its component is told that it did."""
    async with Database(postgres_url, name="test", idle_seconds=0.3, lock_seconds=3.0) as database:

        async def fall_silent() -> None:
            async with database.transaction() as connection:
                await connection.execute("INSERT INTO identity.readiness (id) VALUES (1)")
                await database.check_writable("identity")  # the same row, which waits for the other transaction
                await connection.execute("SELECT 1")

        with pytest.raises(Error) as raised:
            await fall_silent()
        assert raised.value.code == ErrorCode.UNAVAILABLE
        await database.check_writable("identity")


async def test_the_server_gives_a_statement_longer_than_we_do(database: Database) -> None:
    """It ends only what nobody waits for any more."""
    row = await database.fetchrow(
        "SELECT setting::int AS milliseconds FROM pg_settings WHERE name = 'statement_timeout'"
    )
    assert row is not None
    assert row["milliseconds"] == 600, "twice 0.3 s"


async def test_a_silent_server_is_left_with_all_connections(postgres_url: str, proxy: TcpProxy) -> None:
    """Once one of them says nothing any more, the others are not tried first: new ones lead to another server."""
    async with _two_servers(postgres_url, proxy) as (database, _):
        async with database.connection(), database.connection():
            pass  # now there are two, of which the next statement uses one
        proxy.freeze()
        await unavailable(database)
        async with database.connection() as one, database.connection() as another:
            await one.execute("SELECT 1")
            await another.execute("SELECT 1")


async def test_of_two_servers_the_one_that_can_be_written_to_is_found(postgres_url: str, proxy: TcpProxy) -> None:
    """Whether the first one is silent, or the other one refuses; the one that was right last comes first."""
    async with _two_servers(postgres_url, proxy) as (database, other):
        proxy.freeze()
        await database.check_writable("identity")
        other.cut()
        await _writable_again(database, 0.4)
        assert (proxy.accepted, other.accepted) == (1, 2)
        proxy.thaw()
        other.refusing = True
        other.cut()
        await _writable_again(database, 1.0)


async def test_none_of_two_servers_is_unavailable_in_time(postgres_url: str, proxy: TcpProxy) -> None:
    """Both together have the time that one has."""
    async with _two_servers(postgres_url, proxy) as (database, other):
        proxy.freeze()
        other.freeze()
        async with asyncio.timeout(1.5):
            await unavailable(database)


async def _writable_again(database: Database, within: float) -> None:
    """What is in hand when a connection is cut is unavailable; what comes next is not."""

    async def look() -> bool | None:
        try:
            await database.check_writable("identity")
        except Error:
            return None
        return True

    await eventually(look, within, "the database can be written to")


@asynccontextmanager
async def _two_servers(postgres_url: str, first: TcpProxy) -> AsyncIterator[tuple[Database, TcpProxy]]:
    """A database whose URL names two ways, and the second of them."""
    parts = urlsplit(postgres_url)
    async with TcpProxy(parts.hostname or "", parts.port or 5432) as second:
        hosts = f"127.0.0.1:{first.port},127.0.0.1:{second.port}"
        url = urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@{hosts}"))
        async with Database(url, name="test", max_size=2, acquire_seconds=1.0, command_seconds=0.3) as database:
            yield database, second
