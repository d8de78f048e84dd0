"""The real broker behind proxies, and a platform on a Redis that nobody else uses."""

from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from deploy.servers import RedisServer
from tests.contract.bus.transports import Rabbit
from tests.dialects.running import Platform, Servers, load_demo, open_platform
from tests.integration.shared.followers import PREFIX


@pytest.fixture
async def rabbit(rabbitmq_url: str) -> AsyncIterator[Rabbit]:
    """Makes buses on the real broker, each with its own user and proxy."""
    async with Rabbit(rabbitmq_url) as made:
        yield made


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis that nobody else uses, so that it can be emptied and killed; it forgets all when it ends."""
    server = RedisServer(tmp_path_factory.mktemp("redis"), fast=True)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def platform(postgres_url: str, redis: RedisServer) -> AsyncIterator[Platform]:
    """Everything runs, with an empty Redis."""
    redis.start()
    async with Redis.from_url(redis.url) as client:
        await client.flushall()
    async with open_platform(Servers(postgres_url, redis.url, PREFIX)) as running:
        await load_demo(running)
        yield running
