"""The platform that something happens to: on the run's servers, or on its own where a server is what dies."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from deploy.running.database import create_database, in_database
from deploy.running.environment import BROKER_USERS
from deploy.servers import PostgresServer, RabbitServer, RedisServer
from deploy.servers.places import remove
from shared.bus.permissions import definitions
from tests.conftest import PASSWORD
from tests.e2e.conftest import new_platform, start
from tests.faults.links import Link, linked
from tests.support.platform import Platform
from tests.support.urls import ServerUrls

GRACE = {"DRAGOMAN_TOKEN_REFRESH_GRACE_SECONDS": "120"}
"""A client whose refresh was answered into the void asks again when the outage is over, which may be after a while."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The long form, which `make test-faults` asks for."""
    parser.addoption("--long", action="store_true", default=False, help="faults: more load, longer faults, everything")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only the long form has: more cases, and servers that take half a minute to start."""
    if not config.getoption("--long", default=False):
        left_out = [item for item in items if item.get_closest_marker("long") is not None]
        if left_out:
            config.hook.pytest_deselected(items=left_out)
            items[:] = [item for item in items if item.get_closest_marker("long") is None]


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    """Whether the long form was asked for."""
    return bool(request.config.getoption("--long", default=False))


@pytest.fixture(scope="module")
def platform(server_urls: ServerUrls, worker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One replica of each, ready, with the demo data, on the run's servers."""
    with new_platform(server_urls, worker, tmp_path_factory.mktemp("platform"), GRACE) as made:
        asyncio.run(start(made))
        yield made


@dataclass(frozen=True)
class OwnServers:
    """A platform, and the servers that nobody else uses; it reaches each by a link of its own."""

    platform: Platform
    postgres: PostgresServer
    redis: RedisServer
    rabbitmq: RabbitServer
    links: dict[str, Link]
    """By "postgres", "redis" and "rabbitmq"."""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnServers]:
    """A whole platform with the demo data on private servers, for the module's tests alone."""
    home = tmp_path_factory.mktemp("servers")
    users = definitions(dict.fromkeys(BROKER_USERS, PASSWORD), ["/"])
    postgres = PostgresServer(home / "postgresql")  # durable: it is killed and has to know all that it confirmed
    redis = RedisServer(home / "redis", fast=True)
    rabbitmq = RabbitServer(home / "rabbitmq", definitions=users)
    with ExitStack() as stack:
        stack.callback(remove, home)
        for server in (rabbitmq, redis, postgres):
            stack.callback(server.stop)
            server.launch()
        for server in (postgres, redis, rabbitmq):
            server.wait_until_ready()
        database = in_database(postgres.url, "dragoman")
        create_database(database)
        links = {
            name: stack.enter_context(linked("127.0.0.1", server.port))
            for name, server in (("postgres", postgres), ("redis", redis), ("rabbitmq", rabbitmq))
        }
        urls = ServerUrls(
            links["postgres"].through(database),
            links["redis"].through(redis.url),
            links["rabbitmq"].through(rabbitmq.url),
        )
        platform = Platform(home / "platform", urls, corner="dragoman_faults", password=PASSWORD, settings=GRACE)
        stack.callback(platform.close)
        asyncio.run(start(platform))
        yield OwnServers(platform, postgres, redis, rabbitmq, links)
