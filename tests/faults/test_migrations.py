"""Migrations while everything runs under load: code that is newer than the schema, and older than it."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from aiohttp import ClientSession, ClientTimeout

from deploy.running.environment import COMPONENTS, SERVICES
from tests.e2e.conftest import new_platform
from tests.faults.clients import codes_lost_and_doubled, events_left, everybody
from tests.faults.conftest import GRACE
from tests.faults.report import keep
from tests.faults.schema import Revisions
from tests.faults.traffic import Client, Fault, Traffic
from tests.support.platform import Platform, owner_of
from tests.support.token_api import TokenApi
from tests.support.urls import ServerUrls
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)

OLDEST = {"token": 3, "identity": 2, "otp": 1, "password": 1}
"""What today's code still answers the traffic on; a later version may need more, up to what the one before it left."""

_UNNOTICED_SECONDS = 1.0
_LOADED = 2.0
"""What a machine that does other things meanwhile may make of a second."""


@pytest.fixture
def bare(server_urls: ServerUrls, worker: str, tmp_path: Path) -> Iterator[Platform]:
    """An empty database, and no process."""
    with new_platform(server_urls, worker, tmp_path / "platform", GRACE) as made:
        yield made


async def test_the_schema_of_the_version_before(bare: Platform, tmp_path: Path, long: bool) -> None:
    """Today's code goes on when it comes before its migration, while that runs, twice at once, and afterwards.

    The long form begins with the oldest schema that will do, and goes on revision by revision.
    """
    newest = Revisions(tmp_path / "newest").newest()
    one_behind = {service: max(1, number - 1) for service, number in newest.items()}
    older, *steps = _up_to(one_behind, since=OLDEST if long else one_behind)
    await Revisions(tmp_path / "older", older).apply(bare)
    await bare.bring(1)
    await bare.load_demo()
    clients = everybody(2 if long else 1)
    answers = 30 if long else 3
    async with Traffic(bare.urls, clients) as traffic:
        ahead = traffic.fault("a version on the schema of the one before")
        await traffic.more(answers)
        ahead.close()
        migrating = traffic.fault("migration of a schema one version behind, twice at once")
        for number, step in enumerate(steps):
            await Revisions(tmp_path / str(number), step).apply(bare)
            await traffic.more(answers)
        await asyncio.gather(bare.migrate(), bare.migrate())
        await traffic.more(answers)
        migrating.close()
    assert await _stands_at(bare) == newest
    await _judge(bare, clients, traffic, [ahead, migrating], long=long)


async def test_a_migration_that_waits_for_others_and_is_killed(bare: Platform, tmp_path: Path, long: bool) -> None:
    """The next version's migration changes every table that today's code uses, and nobody notices.

    It waits for what a long transaction has read, a backup for instance, goes on when that ends, is killed while it
    waits for another one, and is run again.
    """
    await bare.migrate()
    await bare.bring(1)
    await bare.load_demo()
    revisions = Revisions(tmp_path / "revisions")
    before = revisions.newest()
    await revisions.add_next(bare)
    clients = everybody(2 if long else 1)
    answers = 30 if long else 3
    async with Traffic(bare.urls, clients) as traffic:
        fault = traffic.fault("the next version's migration, in the way of long transactions, killed and run again")
        async with _reading(bare, "password"):
            async with _reading(bare, "token"):
                killed = revisions.start_migration(bare)
                await _waited_for(bare, "token")
                await traffic.more(answers)
            await _waited_for(bare, "password")
            killed.process.kill()
            assert await _stands_at(bare) == {**revisions.newest(), "password": before["password"]}
            await traffic.more(answers)
            again = revisions.start_migration(bare)
            await _waited_for(bare, "password")
            await traffic.more(answers)
        assert await again.ended(60.0) == 0, again.text()
        await traffic.more(answers)
        fault.close()
    assert await _stands_at(bare) == revisions.newest()
    await _judge(bare, clients, traffic, [fault], long=long)


@pytest.mark.long
async def test_every_schema_that_there_ever_was(bare: Platform, tmp_path: Path) -> None:
    """On the first one and on each since, what lacks a table or a column is 503, never 500; then all is well."""
    newest = Revisions(tmp_path / "newest").newest()
    async with ClientSession(timeout=ClientTimeout(20.0)) as http:
        api = TokenApi(bare, http)
        asks = (api.client_credentials, api.password, api.keys, partial(api.request, "GET", "/auth"))
        for number, step in enumerate(_up_to(newest, since=dict.fromkeys(newest, 1))):
            await Revisions(tmp_path / str(number), step).apply(bare)
            if number == 0:
                for name in COMPONENTS:
                    await bare.start(name).logged("started")
            for ask in asks:
                answer = await ask()
                assert answer.status in {200, 401, 503}, (step, bare.refusals)
                assert answer.status != 503 or "Retry-After" in answer.headers
    await bare.bring(1)
    await bare.load_demo()
    async with Traffic(bare.urls, everybody()) as traffic:
        await traffic.more(3)
    assert traffic.wrong == []


async def _judge(
    platform: Platform, clients: Sequence[Client], traffic: Traffic, faults: Sequence[Fault], *, long: bool
) -> None:
    """Nothing failed, nobody waited, nothing is lost."""
    lost, doubled = await codes_lost_and_doubled(platform, clients)
    slowest = {fault.name: max(one.ended_at - one.sent_at for one in fault.asked) for fault in faults}
    for fault in faults:
        more = {"slowest answer": f"{slowest[fault.name]:.2f} s"}
        keep(
            fault.finding(group="versions", held="no request noticed", lost=lost, doubled=doubled, long=long, more=more)
        )
    assert traffic.wrong == []
    assert {fault.name: fault.errors() for fault in faults} == {fault.name: {} for fault in faults}, platform.refusals
    assert max(slowest.values()) < _UNNOTICED_SECONDS * _LOADED
    assert await events_left(platform) == {}
    assert (lost, doubled) == (0, 0)


def _up_to(goal: Mapping[str, int], since: Mapping[str, int]) -> list[dict[str, int]]:
    """The revisions of each service, from some to others, of one service one further each time."""
    steps = [dict(since)]
    for service, number in goal.items():
        for one in range(since[service], number):
            steps.append({**steps[-1], service: one + 1})
    return steps


@asynccontextmanager
async def _reading(platform: Platform, service: str) -> AsyncIterator[None]:
    """A transaction that has read all tables of a service and goes on, as that of a backup."""
    async with owner_of(platform) as connection, connection.transaction():
        for row in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", service):
            await connection.execute(f"SELECT FROM {service}.{row['tablename']}")
        yield


async def _waited_for(platform: Platform, service: str) -> None:
    """Return when somebody waits for a table of the service for himself alone."""
    async with owner_of(platform) as connection:

        async def look() -> bool | None:
            found = await connection.fetchval(
                "SELECT 1 FROM pg_locks JOIN pg_class ON pg_class.oid = relation WHERE NOT granted "
                "AND mode = 'AccessExclusiveLock' AND relnamespace = $1::regnamespace",
                service,
            )
            return True if found else None

        await eventually(look, 30.0, f"the migration waits for a table of {service}")


async def _stands_at(platform: Platform) -> dict[str, int]:
    """The number of the revision that each service's schema stands at."""
    async with owner_of(platform) as connection:
        return {
            service: int(await connection.fetchval(f"SELECT version_num FROM {service}.migrations"))
            for service in SERVICES
        }
