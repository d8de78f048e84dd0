"""The disk below the database is full: 503, nothing that was promised is lost, and all is well with the next free byte.

The long form fills a small file system that holds every table and index. The short form, and a machine that lets nobody
mount one, has PostgreSQL's own error (SQLSTATE 53100) raised by triggers on what is inserted and updated.
"""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from deploy.running.environment import SERVICES
from tests.faults.clients import codes_lost_and_doubled, events_left, everybody
from tests.faults.conftest import OwnServers
from tests.faults.report import keep
from tests.faults.traffic import Traffic
from tests.support.platform import Platform, owner_of
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)

RECOVERED_SECONDS = 10.0
"""Asked for are five; the rest is for a machine that does other things too."""

_SIZE = "64m"
_TABLES = (
    "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables "
    "WHERE schemaname = ANY($1) AND tablename <> 'migrations'"
)
_INDEXES = "SELECT format('%I.%I', schemaname, indexname) AS name FROM pg_indexes WHERE schemaname = ANY($1)"


@dataclass(frozen=True)
class Disk:
    """What can become full; `how` says which way."""

    how: str
    fill: Callable[[], Awaitable[None]]
    free: Callable[[], Awaitable[None]]


async def test_a_full_disk_is_told_and_loses_nothing(platform: Platform) -> None:
    """Whatever has to be written is 503 at once, what need not goes on."""
    async with owner_of(platform) as connection, _raising(connection) as disk:
        await _try(platform, disk, times=1, long=False)


@pytest.fixture
def own_platform(own: OwnServers) -> Platform:
    """A platform on servers of its own."""
    return own.platform


@pytest.mark.long
async def test_a_file_system_that_is_really_full(own_platform: Platform) -> None:
    """The same with no byte left where the tables are."""
    async with owner_of(own_platform) as connection, _small(connection) as disk:
        await _try(own_platform, disk, times=2, long=True)


async def _try(platform: Platform, disk: Disk, *, times: int, long: bool) -> None:
    clients = everybody(times)
    async with Traffic([platform.url], clients) as traffic:
        fault = traffic.fault("disk full for the database of the outboxes")
        await disk.fill()

        async def refused() -> bool | None:
            return True if fault.errors("send_code") and fault.errors("password") else None

        await eventually(refused, 60.0, "the disk is full and is noticed")
        await traffic.more(5)
        await disk.free()
        fault.over()
        recovery = await fault.recovered(RECOVERED_SECONDS)
        await traffic.more(3)
    assert set(fault.errors()) == {"503"}
    assert fault.errors("client_credentials", "introspect") == {}
    assert fault.slowest_error() < 3.0
    assert fault.wrong == []
    lost, doubled = await codes_lost_and_doubled(platform, clients)
    assert lost == 0
    assert doubled <= 2, "a mail that was sent but could not be noted is sent again, under the same Message-ID"
    left = await events_left(platform)
    assert left == {}
    print(f"recovered {recovery:.2f} s after the disk had room again")  # noqa: T201 - what a run is read for
    keep(
        fault.finding(
            group="disk full and poison",
            held=f"{disk.how}: what has to be written is 503, the rest goes on; no event, code or session lost",
            lost=lost,
            doubled=doubled,
            long=long,
        )
    )


@asynccontextmanager
async def _raising(connection: asyncpg.Connection) -> AsyncIterator[Disk]:
    """Triggers that raise what PostgreSQL raises, on every table of the services."""
    tables = [row["name"] for row in await connection.fetch(_TABLES, list(SERVICES))]

    async def fill() -> None:
        for table in tables:
            await connection.execute(
                f"CREATE TRIGGER disk_is_full BEFORE INSERT OR UPDATE ON {table} "
                "FOR EACH ROW EXECUTE FUNCTION disk_is_full()"
            )

    async def free() -> None:
        for table in tables:
            await connection.execute(f"DROP TRIGGER IF EXISTS disk_is_full ON {table}")

    await connection.execute(
        "CREATE FUNCTION disk_is_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$"
    )
    try:
        yield Disk("SQLSTATE 53100 on every insert and update", fill, free)
    finally:
        await free()
        await connection.execute("DROP FUNCTION disk_is_full()")


@asynccontextmanager
async def _small(connection: asyncpg.Connection) -> AsyncIterator[Disk]:
    """All tables and indexes on a file system of a few megabytes, where this machine allows one."""
    place = Path("/var/tmp") / f"dragoman-disk-{os.getpid()}"  # where PostgreSQL's own user can reach it
    if not await asyncio.to_thread(_mount, place):
        async with _raising(connection) as disk:
            yield disk
        return
    try:
        data = await connection.fetchval("SHOW data_directory")
        folder = await asyncio.to_thread(_folder, place, Path(data))
        await connection.execute(f"CREATE TABLESPACE small LOCATION '{folder}'")
        await _to_tablespace(connection, "small")
        filler = place / "filler"

        async def fill() -> None:
            with filler.open("wb", buffering=0) as file:
                while True:
                    try:
                        file.write(bytes(4096))
                    except OSError:  # full, which is what it is for
                        return

        async def free() -> None:
            filler.unlink(missing_ok=True)

        try:
            yield Disk("a file system without a free byte", fill, free)
        finally:
            await free()
            await _back(connection)
    finally:
        await asyncio.to_thread(_unmount, place)


def _mount(place: Path) -> bool:
    """Whether there is a small file system at `place` now; if not, there is nothing."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "none", str(place)]
    try:
        if subprocess.run(command, check=False, capture_output=True).returncode == 0:
            return True
    except OSError:  # no such command
        pass
    place.rmdir()
    return False


def _unmount(place: Path) -> None:
    subprocess.run(["umount", str(place)], check=True)
    place.rmdir()


def _folder(place: Path, data: Path) -> Path:
    """A folder in there that belongs to the user whom PostgreSQL runs as."""
    owner = data.stat()
    folder = place / "tables"
    folder.mkdir(mode=0o700)
    os.chown(folder, owner.st_uid, owner.st_gid)
    return folder


async def _back(connection: asyncpg.Connection) -> None:
    await _to_tablespace(connection, "pg_default")
    await connection.execute("DROP TABLESPACE small")


async def _to_tablespace(connection: asyncpg.Connection, name: str) -> None:
    for kind, query in (("TABLE", _TABLES), ("INDEX", _INDEXES)):
        for row in await connection.fetch(query, list(SERVICES)):
            await connection.execute(f"ALTER {kind} {row['name']} SET TABLESPACE {name}")
