"""A platform for each file of tests, and others with settings of their own."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest_asyncio
from redis.asyncio import Redis

from tests.dialects.running import Platform, Servers, empty, load_demo, open_platform
from tests.support.urls import ServerUrls

OpenPlatform = Callable[..., AbstractAsyncContextManager[Platform]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers(migrated_url: str, server_urls: ServerUrls, worker: str) -> AsyncIterator[Servers]:
    """The worker's database and Redis keys, emptied after the file."""
    corner = Servers(migrated_url, server_urls.redis, f"test:{worker}:dialects:")
    yield corner
    await empty(corner)
    async with Redis.from_url(corner.redis) as client:
        keys = [key async for key in client.scan_iter(match=f"{corner.redis_prefix}*")]
        if keys:
            await client.delete(*keys)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform(servers: Servers) -> AsyncIterator[Platform]:
    """Everything runs, one-time codes are on, new users are welcome; the demo data is loaded."""
    async with open_platform(servers) as running:
        await load_demo(running)
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def open_other(servers: Servers) -> OpenPlatform:
    """Opens a platform with other settings, or without some services, on data of its own."""

    @asynccontextmanager
    async def opened(*, without: frozenset[str] = frozenset(), **changed: str) -> AsyncIterator[Platform]:
        await empty(servers)
        async with open_platform(servers, without=without, **changed) as running:
            if not without:
                await load_demo(running)
            yield running

    return opened
