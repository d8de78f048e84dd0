"""The real servers of a test run, and each worker's own corner of them.

Where the servers come from, in this order: URLs in DRAGOMAN_TEST_{POSTGRES,REDIS,RABBITMQ}_URL; containers, where a
Docker engine answers; else private instances from the machine's binaries, installed first where that is possible.
They are started once per run, by the process that leads it; each worker has its own database, vhost and key prefix.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import aio_pika
import asyncpg
import pytest
from aio_pika.exceptions import AMQPError
from redis.asyncio import Redis

from cli.components import schemas
from shared.bus import permissions, topology
from shared.postgres.migrate import migrate
from shared.settings import environment
from tests.support import containers, processes
from tests.support.leaks import USED_SECRETS
from tests.support.urls import ServerUrls

ROOT = Path(__file__).parent.parent
WORKERS = ("master", *(f"gw{n}" for n in range(16)))
PASSWORD = "for-tests-only"


def definitions() -> dict[str, object]:
    """One vhost per worker and one broker user per component, with the permissions that the contracts imply."""
    users = {"admin": PASSWORD} | dict.fromkeys(permissions.COMPONENTS, PASSWORD)
    return permissions.definitions(users, ["/", *(f"test_{worker}" for worker in WORKERS)])


class _Servers:
    """Starts the servers when the first test asks, and stops them with the run."""

    def __init__(self) -> None:
        self._urls: ServerUrls | None = None
        self._context: AbstractContextManager[ServerUrls] | None = None

    def urls(self) -> ServerUrls:
        if self._urls is None:
            given = any(name in environment() for name in processes.NAMES.by_server().values())
            if containers.engine_answers() and not given:
                self._context = containers.servers(definitions(), PASSWORD)
            else:
                self._context = processes.servers(ROOT / ".run" / "test", definitions())
            self._urls = self._context.__enter__()
        return self._urls

    def stop(self) -> None:
        if self._context is not None:
            self._context.__exit__(None, None, None)


_servers = _Servers()
USED_SECRETS.watch()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test in whose log there is a secret."""
    report = yield
    if report.when == "teardown" and report.passed and (found := USED_SECRETS.found_in(report.capstdout)):
        report.outcome = "failed"
        report.longrepr = f"there are secrets in the log: {', '.join(found)}"
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: "object") -> None:
    """Tell each worker where the servers are."""
    node.workerinput["servers"] = json.dumps(asdict(_servers.urls()))  # type: ignore[attr-defined]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what this process started."""
    del config
    _servers.stop()


@pytest.fixture(scope="session")
def server_urls(request: pytest.FixtureRequest) -> ServerUrls:
    """The servers of this run."""
    given = getattr(request.config, "workerinput", {}).get("servers")
    return ServerUrls(**json.loads(given)) if given else _servers.urls()


@pytest.fixture(scope="session")
def worker() -> str:
    """The name of this worker: gw0, gw1, … or master."""
    return environment().get("PYTEST_XDIST_WORKER", "master")


@pytest.fixture(scope="session")
def migrated_url(server_urls: ServerUrls, worker: str) -> Iterator[str]:
    """A database of the worker's own with every schema migrated; the URL is its owner's."""
    name = f"dragoman_test_{worker}"
    parts = urlsplit(server_urls.postgres)
    url = urlunsplit(parts._replace(path=f"/{name}"))

    async def create() -> None:
        admin = await asyncpg.connect(server_urls.postgres)
        try:
            await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            await admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        finally:
            await admin.close()
        await migrate(url, schemas({}))

    async def drop() -> None:
        admin = await asyncpg.connect(server_urls.postgres)
        try:
            await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        finally:
            await admin.close()

    asyncio.run(create())
    yield url
    asyncio.run(drop())


@pytest.fixture
async def postgres_url(migrated_url: str) -> AsyncIterator[str]:
    """The worker's database, emptied after the test."""
    yield migrated_url
    connection = await asyncpg.connect(migrated_url)
    try:
        tables = await connection.fetch(
            "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables "
            "WHERE schemaname IN ('token', 'identity', 'otp', 'password') AND tablename <> 'migrations'"
        )
        if tables:
            await connection.execute(f"TRUNCATE {', '.join(row['name'] for row in tables)}")
    finally:
        await connection.close()


@pytest.fixture
def rabbitmq_url(server_urls: ServerUrls, worker: str) -> Iterator[str]:
    """The worker's vhost, as an administrator; its queues and exchanges are removed after the test."""
    parts = urlsplit(server_urls.rabbitmq)
    url = urlunsplit(parts._replace(path=f"/test_{worker}"))
    yield url
    asyncio.run(clear_vhost(url))


def broker_url(rabbitmq_url: str, component: str) -> str:
    """The same vhost for one component's own user, with no more rights than it has in production."""
    parts = urlsplit(rabbitmq_url)
    return urlunsplit(parts._replace(netloc=f"{component}:{PASSWORD}@{parts.hostname}:{parts.port}"))


async def clear_vhost(url: str) -> None:
    """Delete every queue that the contracts name."""
    connection = await aio_pika.connect(url)
    async with connection:
        for service in permissions.SERVICES:
            for queue in (
                topology.calls_queue(service),
                topology.groups_queue(service),
                topology.events_queue(service),
                topology.dead_queue(service),
                *(topology.retry_queue(service, delay) for delay in (*topology.RETRY_SECONDS, 0.05)),
                *(topology.lane_queue(service, lane, topology.LANE_SECONDS) for lane in topology.lanes(service)),
            ):
                channel = await connection.channel()
                with suppress(AMQPError):
                    await channel.queue_delete(queue)
                await channel.close()


@pytest.fixture
async def redis_url(server_urls: ServerUrls) -> str:
    """The run's Redis; use it with `redis_prefix`."""
    return server_urls.redis


@pytest.fixture
async def redis_prefix(redis_url: str, worker: str) -> AsyncIterator[str]:
    """A key prefix of the worker's own; its keys are removed after the test."""
    prefix = f"test:{worker}:"
    yield prefix
    async with Redis.from_url(redis_url) as client:
        keys = [key async for key in client.scan_iter(match=f"{prefix}*")]
        if keys:
            await client.delete(*keys)
