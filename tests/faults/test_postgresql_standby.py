"""A standby takes the place of its primary under load: 503 until it has, and nothing that was confirmed is lost.

Components know both by one URL, and every commit waits for the standby. Nobody restarts them.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from deploy.running.components import program
from deploy.running.database import in_database
from deploy.servers import PostgresServer
from deploy.servers.places import remove
from tests.e2e.conftest import new_platform, start
from tests.faults.clients import codes_lost_and_doubled, events_left, everybody
from tests.faults.conftest import GRACE
from tests.faults.promises import SignUp, connected, forgotten
from tests.faults.report import keep
from tests.faults.standby import StandbyServer, promote, wait_for_standby
from tests.faults.traffic import Client, Fault, Traffic
from tests.support.platform import Platform
from tests.support.urls import ServerUrls

pytestmark = pytest.mark.timeout(600)

_DEADLINE_SECONDS = 5.0
_RECOVERED_SECONDS = 5.0
_LOADED = 2.0
"""What a machine that does other things meanwhile may make of a second."""


@dataclass(frozen=True)
class Replicated:
    """A platform, and the two servers that its URL names."""

    platform: Platform
    primary: PostgresServer
    standby: StandbyServer


@pytest.fixture
def replicated(server_urls: ServerUrls, worker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicated]:
    """A whole platform on the run's RabbitMQ and Redis, and on a primary and a standby of its own."""
    home = tmp_path_factory.mktemp("replicated")
    with ExitStack() as stack:
        stack.callback(remove, home)
        primary = PostgresServer(home / "primary")
        stack.callback(primary.stop)
        primary.start()
        standby = StandbyServer(home / "standby", primary)
        stack.callback(standby.stop)
        standby.start()
        asyncio.run(wait_for_standby(primary.url))
        hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
        url = f"postgresql://postgres:{primary.password}@{hosts}/postgres?target_session_attrs=read-write"
        urls = ServerUrls(url, server_urls.redis, server_urls.rabbitmq)
        platform = stack.enter_context(new_platform(urls, worker, home / "platform", GRACE))
        asyncio.run(start(platform))
        yield Replicated(platform, primary, standby)


async def test_a_primary_that_dies(replicated: Replicated, long: bool) -> None:
    """SIGKILL of the primary, then the standby is promoted."""
    held = "503 until then; nobody restarts a component"
    async with _fault(replicated, "primary killed, standby promoted", held, long=long) as fault:
        replicated.primary.kill()
        await _promote(replicated, fault)


@pytest.mark.long
async def test_a_primary_that_says_nothing_any_more(replicated: Replicated) -> None:
    """It stands still, so that its connections stay open, and new ones are taken up and never answered."""
    held = "told before the deadline; its connections are left although they stay open"
    async with _fault(replicated, "primary silent, standby promoted", held) as fault:
        replicated.primary.pause()
        await _promote(replicated, fault)
        replicated.primary.kill()  # it must not come back as a second primary


@pytest.mark.long
async def test_a_primary_that_steps_down(replicated: Replicated) -> None:
    """It is made read-only while its connections are open and stay open; then the standby is promoted."""
    held = "connections to the old primary, which are open and only refuse to write, are left"
    async with _fault(replicated, "primary made read-only, standby promoted", held) as fault:
        async with connected(replicated.primary.url) as administrator:
            await administrator.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            await administrator.execute("SELECT pg_reload_conf()")
        await _promote(replicated, fault)


async def _promote(replicated: Replicated, fault: Fault) -> None:
    await fault.traffic.more(5, within=60.0)
    await promote(replicated.standby.url)
    fault.over()
    await fault.recovered(within=60.0)


@asynccontextmanager
async def _fault(replicated: Replicated, name: str, held: str, *, long: bool = True) -> AsyncIterator[Fault]:
    """A fault under load, and what has to hold of each."""
    platform = replicated.platform
    clients: list[Client] = [*everybody(2 if long else 1), SignUp(0.3, platform.inbox["http"])]
    async with Traffic(platform.urls, clients) as traffic:
        fault = traffic.fault(name)
        yield fault
        fault.close()
        await traffic.more(3)
    lost, doubled = await codes_lost_and_doubled(platform, clients)
    left = await events_left(platform)
    database = urlsplit(platform.environment["DRAGOMAN_POSTGRES_URL"]).path.strip("/")
    gone = await forgotten(in_database(replicated.standby.url, database), clients)
    lost += sum(left.values()) + len(gone)
    keep(fault.finding(group="PostgreSQL", held=held, lost=lost, doubled=doubled, long=long))
    assert fault.errors().keys() == {"503"}, platform.refusals
    assert traffic.wrong == []
    assert fault.slowest_error() < _DEADLINE_SECONDS
    assert fault.recovery is not None
    assert fault.recovery < _RECOVERED_SECONDS * _LOADED
    assert (lost, left, gone) == (0, {}, [])
    assert doubled <= 2, "a mail that was sent but could not be noted is sent again, under the same Message-ID"
    await platform.run(program("dragoman"), "doctor")  # which fails when there is a problem
