"""A platform for each module of tests: its own database, roles, keys and logs, in the worker's virtual host."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import asyncpg
import pytest
from aiohttp import ClientSession, ClientTimeout
from redis.asyncio import Redis

from deploy.running.environment import SERVICES
from tests.conftest import PASSWORD, clear_vhost
from tests.support.leaks import USED_SECRETS
from tests.support.platform import Platform, at_path
from tests.support.token_api import TokenApi
from tests.support.urls import ServerUrls


@pytest.fixture(scope="module")
def platform(server_urls: ServerUrls, worker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One replica of each, ready, with the demo data."""
    with new_platform(server_urls, worker, tmp_path_factory.mktemp("platform")) as made:
        asyncio.run(start(made))
        yield made


@pytest.fixture
def bare_platform(server_urls: ServerUrls, worker: str, tmp_path: Path) -> Iterator[Platform]:
    """An empty database and no process."""
    with new_platform(server_urls, worker, tmp_path) as made:
        yield made


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    """What the tests ask with."""
    async with ClientSession(timeout=ClientTimeout(20.0)) as session:
        yield session


@pytest.fixture
async def api(platform: Platform, http: ClientSession) -> TokenApi:
    """The token API of the module's platform."""
    return TokenApi(platform, http)


async def start(platform: Platform) -> None:
    """Bring a bare platform to where `make run` brings it."""
    await platform.migrate()
    await platform.bring(1)
    await platform.load_demo()


@contextmanager
def new_platform(
    urls: ServerUrls, worker: str, directory: Path, settings: Mapping[str, str] | None = None
) -> Iterator[Platform]:
    """A platform with an empty database and no process, in the worker's corner; no log of its may have a secret."""
    corner = f"dragoman_e2e_{worker}"
    with ExitStack() as stack:
        vhost = at_path(urls.rabbitmq, f"/test_{worker}")
        stack.callback(lambda: asyncio.run(clear_vhost(vhost)))
        stack.callback(lambda: asyncio.run(_clear_redis(urls.redis, corner)))
        stack.callback(lambda: asyncio.run(_drop_database(urls.postgres, corner)))
        asyncio.run(_create_database(urls.postgres, corner))
        mine = ServerUrls(at_path(urls.postgres, f"/{corner}"), urls.redis, vhost)
        platform = Platform(directory, mine, corner=corner, password=PASSWORD, settings=settings)
        stack.callback(platform.close)
        yield platform
        for file in (directory / "secrets").glob("*"):
            USED_SECRETS.note(file.read_text())
        USED_SECRETS.note(PASSWORD)
        found = {replica.name: USED_SECRETS.found_in(replica.text()) for replica in platform.every}
        assert not any(found.values()), f"there are secrets in the logs: {found}"


async def _create_database(admin_url: str, corner: str) -> None:
    await _drop_database(admin_url, corner)
    admin = await asyncpg.connect(admin_url)
    try:
        await admin.execute(f"CREATE DATABASE {corner} TEMPLATE template0")
    finally:
        await admin.close()


async def _drop_database(admin_url: str, corner: str) -> None:
    admin = await asyncpg.connect(admin_url)
    try:
        await admin.execute(f"DROP DATABASE IF EXISTS {corner} WITH (FORCE)")
        for service in SERVICES:
            await admin.execute(f"DROP ROLE IF EXISTS {corner}_{service}")
    finally:
        await admin.close()


async def _clear_redis(url: str, corner: str) -> None:
    async with Redis.from_url(url) as redis:
        keys = [key async for key in redis.scan_iter(match=f"{corner}:*")]
        if keys:
            await redis.delete(*keys)
