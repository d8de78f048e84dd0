"""Migrations bring every schema up, whoever starts first, and give each role its own schema alone."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
import pytest
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from cli.components import schemas
from shared.bus.permissions import SERVICES
from shared.postgres import Database
from shared.postgres import migrate as migrating
from shared.postgres.migrate import migrate
from tests.support.proxy import TcpProxy
from tests.support.urls import ServerUrls
from tests.support.waiting import eventually

AWKWARD = 'p:a\'ss\\w%o/rd$$ "1"'


@dataclass(frozen=True)
class Empty:
    """A database without anything, and names for two services' roles."""

    url: str
    roles: dict[str, str]

    def role_url(self, service: str) -> str:
        """How the service connects."""
        parts = urlsplit(self.url)
        login = f"{self.roles[service]}:{quote(AWKWARD, safe='')}"
        return urlunsplit(parts._replace(netloc=f"{login}@{parts.hostname}:{parts.port}"))


@dataclass(frozen=True)
class Growing:
    """A schema called `identity`, whose revisions the test writes."""

    database: Empty
    folder: Path
    told: list[str] = field(default_factory=list)

    def revise(self, number: int, *statements: str) -> None:
        """Write one more revision."""
        before = f'"{number - 1:04}"' if number > 1 else None
        lines = [f"    op.execute({statement!r})" for statement in statements]
        text = ["from alembic import op", f'revision = "{number:04}"', f"down_revision = {before}", "def upgrade():"]
        self._file(number).write_text("\n".join([*text, *lines, ""]))

    def forget(self, number: int) -> None:
        """Be the version before that revision."""
        self._file(number).unlink()

    async def migrate(self) -> str:
        """Bring it up to date; the revision that it stands at. What else there is to say is in `told`."""
        identity = (self.folder, self.database.role_url("identity"))
        return (await migrate(self.database.url, {"identity": identity}, self.told.append))["identity"]

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:04}_some.py"


@pytest.fixture
def growing(empty: Empty, tmp_path: Path) -> Growing:
    """A schema without any revision."""
    return Growing(empty, tmp_path)


@pytest.fixture
async def empty(server_urls: ServerUrls, worker: str) -> AsyncIterator[Empty]:
    """Made for the test and dropped with its roles."""
    name = f"dragoman_test_{worker}_empty"
    roles = {service: f"{name} {service}".replace(" ", "_") for service in ("identity", "otp")}
    parts = urlsplit(server_urls.postgres)
    admin = await asyncpg.connect(server_urls.postgres)

    async def drop() -> None:
        await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        for role in roles.values():
            await admin.execute(f'DROP ROLE IF EXISTS "{role}"')

    try:
        await drop()
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        yield Empty(urlunsplit(parts._replace(path=f"/{name}")), roles)
        await drop()
    finally:
        await admin.close()


async def test_replicas_that_start_together_migrate_once(empty: Empty) -> None:
    """Three migrations at the same time all end well, and a later one finds nothing to do."""
    urls = {service: empty.role_url(service) for service in empty.roles}
    outcomes = await asyncio.gather(*(migrate(empty.url, schemas(urls)) for _ in range(3)))
    assert set(outcomes[0]) == set(SERVICES)
    assert outcomes[0] == outcomes[1] == outcomes[2] == await migrate(empty.url, schemas(urls))


async def test_a_migration_finds_the_server_that_can_be_written_to(
    empty: Empty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The URLs may name several, of which one is away and another says nothing."""
    monkeypatch.setattr("shared.postgres.migrate._CONNECT_SECONDS", 2.0)
    parts = urlsplit(empty.url)
    address = f"{parts.hostname}:{parts.port}"
    async with TcpProxy(parts.hostname or "", parts.port or 5432) as silent:
        silent.freeze()

        def several(url: str) -> str:
            return url.replace(f"@{address}/", f"@127.0.0.1:1,127.0.0.1:{silent.port},{address}/")

        identity = several(empty.role_url("identity"))
        await migrate(several(empty.url), schemas({"identity": identity}))
        async with Database(identity, name="test", acquire_seconds=2.0) as database:
            await database.check_writable("identity")


async def test_a_service_reaches_its_own_tables_and_no_others(empty: Empty) -> None:
    """The role in a service's URL works in its schema and is refused everywhere else."""
    await migrate(empty.url, schemas({service: empty.role_url(service) for service in empty.roles}))
    async with Database(empty.role_url("identity"), name="test") as database:
        await database.check_writable("identity")
        for forbidden in (
            "SELECT 1 FROM otp.readiness",
            "INSERT INTO otp.readiness (id) VALUES (1)",
            "UPDATE identity.migrations SET version_num = '0'",
            "CREATE TABLE identity.mine (id int)",
            "CREATE TABLE public.mine (id int)",
            "DROP TABLE identity.readiness",
            "CREATE ROLE another",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await database.execute(forbidden)


async def test_the_owner_as_a_service_needs_no_grants(empty: Empty) -> None:
    """A single role for everything is possible, in development for example."""
    await migrate(empty.url, schemas(dict.fromkeys(SERVICES, empty.url)))
    async with Database(empty.url, name="test") as database:
        for service in SERVICES:
            await database.check_writable(service)


async def test_nobody_waits_behind_a_migration_that_waits(growing: Growing) -> None:
    """While a long transaction uses a table, the migration steps back again and again, until the table is free."""
    growing.revise(1, "CREATE TABLE identity.used (id int)")
    await growing.migrate()
    growing.revise(2, "ALTER TABLE identity.used ADD COLUMN more text")
    async with Database(growing.database.role_url("identity"), name="test") as database:
        async with database.transaction() as long_one:
            await long_one.execute("SELECT FROM identity.used")
            migration = asyncio.create_task(growing.migrate())
            await _waiting_for_a_lock(growing.database.url)
            async with asyncio.timeout(1.0):
                await database.execute("SELECT FROM identity.used")
            assert not migration.done()
        assert await asyncio.wait_for(migration, 10.0) == "0002"
        await database.execute("SELECT more FROM identity.used")


async def test_a_table_that_is_never_free_is_told(growing: Growing, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a time the migration gives up with the reason; nothing of the revision is left."""
    monkeypatch.setattr(migrating, "_PATIENCE_SECONDS", 0.5)
    growing.revise(1, "CREATE TABLE identity.used (id int)")
    await growing.migrate()
    growing.revise(2, "CREATE TABLE identity.more (id int)", "ALTER TABLE identity.used ADD COLUMN more text")
    async with Database(growing.database.role_url("identity"), name="test") as database:
        async with database.transaction() as long_one:
            await long_one.execute("SELECT FROM identity.used")
            with pytest.raises(DBAPIError, match="lock timeout"):
                await growing.migrate()
        assert await database.fetch("SELECT FROM pg_tables WHERE tablename = 'more'") == []
        assert await growing.migrate() == "0002"


async def test_a_migration_that_never_ends_is_told_to_the_next_one(
    growing: Growing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for another migration gives up after a time instead of hanging for ever."""
    monkeypatch.setattr(migrating, "_TURN_TIMEOUT", "200ms")
    other = await asyncpg.connect(growing.database.url)
    try:
        await other.execute(f"SELECT pg_advisory_lock({migrating._LOCK})")
        with pytest.raises(DBAPIError, match="lock timeout"):
            await growing.migrate()
    finally:
        await other.close()


async def test_a_revision_that_needs_more_time_takes_it_for_itself_alone(growing: Growing) -> None:
    """One that may wait, to make an index beside the traffic, leaves the next one the usual time-outs."""
    growing.revise(1, "SET lock_timeout = '60s'", "SET statement_timeout = '60s'")
    kept = " || ' ' || ".join(f"current_setting('{name}')" for name in migrating.TIMEOUTS)
    growing.revise(2, f"CREATE TABLE identity.kept AS SELECT {kept} AS timeouts")
    await growing.migrate()
    async with Database(growing.database.role_url("identity"), name="test") as database:
        row = await database.fetchrow("SELECT timeouts FROM identity.kept")
    assert row is not None
    assert row["timeouts"] == " ".join(migrating.TIMEOUTS.values())


async def test_a_migration_that_stops_half_way_leaves_what_it_has_done_usable(growing: Growing) -> None:
    """Revisions before the one that fails stay, with the service's rights on them; the next run does the rest."""
    growing.revise(1, "CREATE TABLE identity.first (id int)")
    growing.revise(2, "CREATE TABLE identity.second (id bigint GENERATED ALWAYS AS IDENTITY, name text)")
    growing.revise(3, "CREATE TABLE identity.third (id int)", "SELECT 1 / 0")
    with pytest.raises(DBAPIError, match="division by zero"):
        await growing.migrate()
    async with Database(growing.database.role_url("identity"), name="test") as database:
        await database.execute("INSERT INTO identity.first (id) VALUES (1)")
        await database.execute("INSERT INTO identity.second (name) VALUES ('x')")
        growing.revise(3, "CREATE TABLE identity.third (id int)")
        assert await growing.migrate() == "0003"
        await database.execute("DELETE FROM identity.third")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await database.execute("DELETE FROM identity.migrations")


async def test_the_version_before_leaves_a_newer_schema_as_it_is(growing: Growing) -> None:
    """Going back: nothing of the newer version is undone, its service has its rights, and the rest is migrated."""
    growing.revise(1, "CREATE TABLE identity.first (id int)")
    growing.revise(2, "CREATE TABLE identity.second (id int)")
    await growing.migrate()
    assert growing.told == []
    growing.forget(2)
    assert await growing.migrate() == "0002"
    assert growing.told == ["the schema identity stands at 0002, newer than this version's 0001: it is left as it is"]
    async with Database(growing.database.role_url("identity"), name="test") as database:
        await database.execute("INSERT INTO identity.first (id) VALUES (1)")
    growing.revise(2, "CREATE TABLE identity.second (id int)")
    growing.revise(3, "CREATE TABLE identity.third (id int)")
    assert await growing.migrate() == "0003"


@pytest.mark.parametrize("stands_at", ["0000", "lost", "ffff"])
async def test_a_revision_of_nobody_is_told(growing: Growing, stands_at: str) -> None:
    """What is no later number is no newer version: the migration fails and says where."""
    growing.revise(1, "CREATE TABLE identity.first (id int)")
    await growing.migrate()
    owner = await asyncpg.connect(growing.database.url)
    try:
        await owner.execute("UPDATE identity.migrations SET version_num = $1", stands_at)
    finally:
        await owner.close()
    with pytest.raises(CommandError, match=f"the schema identity: .*{stands_at}"):
        await growing.migrate()
    assert growing.told == []


async def _waiting_for_a_lock(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:

        async def look() -> bool | None:
            waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'identity.used'::regclass"
            return True if await connection.fetchval(waits) else None

        await eventually(look, 10.0, "the migration waits for the table")
    finally:
        await connection.close()
