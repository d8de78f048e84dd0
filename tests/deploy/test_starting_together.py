"""The chart's development mode starts everything at once: components before their broker users, roles and schemas."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cli.broker import MANAGEMENT_URL
from deploy.running.components import program
from deploy.running.database import create_database, in_database
from deploy.running.environment import COMPONENTS
from deploy.servers import PostgresServer, RedisServer
from deploy.servers.places import remove
from tests.conftest import PASSWORD
from tests.support.managed_broker import ManagedBroker
from tests.support.platform import Platform
from tests.support.urls import ServerUrls

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[ManagedBroker]:
    """A broker that was just installed, with its management plugin; it may still be starting."""
    server = ManagedBroker(tmp_path / "broker")
    server.launch()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def platform(tmp_path: Path, broker: ManagedBroker) -> Iterator[Platform]:
    """A platform without any process, on an empty database."""
    home = tmp_path / "servers"
    with ExitStack() as stack:
        stack.callback(remove, home)
        postgres, redis = PostgresServer(home / "postgresql", fast=True), RedisServer(home / "redis", fast=True)
        for server in (postgres, redis):
            stack.callback(server.stop)
            server.start()
        database = in_database(postgres.url, "dragoman")
        create_database(database)
        urls = ServerUrls(database, redis.url, broker.url)
        platform = Platform(tmp_path / "platform", urls, corner="dragoman_together", password=PASSWORD)
        stack.callback(platform.close)
        yield platform


async def test_components_wait_for_the_jobs_that_run_beside_them(platform: Platform, broker: ManagedBroker) -> None:
    """None of them gives up; once permissions are given and the database is migrated, all are ready within seconds."""
    for name in COMPONENTS:
        await platform.start(name).logged("broker unreachable")
    platform.environment[MANAGEMENT_URL] = broker.management_url  # of all, only this command knows it
    await platform.run(program("dragoman"), "broker", "apply")
    del platform.environment[MANAGEMENT_URL]
    await platform.migrate()
    async with asyncio.timeout(10):
        for name in COMPONENTS:
            [replica] = platform.replicas(name)
            await replica.ready()
    await platform.load_demo()
