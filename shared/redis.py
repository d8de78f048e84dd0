"""Redis: a client whose every wait is short, with its faults told as `unavailable`."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext, suppress
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis, Sentinel
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from shared.errors import Error, unavailable
from shared.process import background
from shared.redis_url import parse_redis_url

_CONNECT_SECONDS = 0.5
_ANSWER_SECONDS = 1.0
_SLOW_SECONDS = 0.1
_PAUSE_SECONDS = 1.0
_FOLLOW_SECONDS = 1.0
_FAULTS = (RedisError, OSError, TimeoutError)


@asynccontextmanager
async def open_redis(
    url: str, *, max_connections: int = 32, answer_seconds: float = _ANSWER_SECONDS
) -> AsyncIterator["Redis"]:
    """A client that connects when it is first used; closed on leaving. No answer may take `answer_seconds`.

    `url` may name sentinels, as `shared.redis_url` says: then it leads to the master of the moment. Behind another URL
    a broken connection is tried again once and at once: the server may have closed it while it was idle.
    """
    address = parse_redis_url(url)
    patience: dict[str, Any] = {
        "socket_connect_timeout": min(_CONNECT_SECONDS, answer_seconds),
        "socket_timeout": answer_seconds,
        "health_check_interval": 15,
        # A second try would go to the same server, and not ask the sentinels whether that still is the master.
        "retry": Retry(NoBackoff(), 0 if address.sentinels else 1),
    }
    pool_options = {"max_connections": max_connections, "timeout": answer_seconds} | patience | address.options
    async with AsyncExitStack() as stack:
        pool: BlockingConnectionPool
        if address.sentinels:
            asking = patience | address.sentinel_options
            sentinel = Sentinel(address.sentinels, sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
            await stack.enter_async_context(sentinel)
            pool = _MasterPool(address.master, sentinel, **pool_options)  # type: ignore[no-untyped-call]
            await stack.enter_async_context(background(asyncio.create_task(pool.follow())))
        else:
            pool = BlockingConnectionPool(**pool_options)
        stack.push_async_callback(pool.aclose)
        yield await stack.enter_async_context(Redis(connection_pool=pool))


class _MasterPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to whatever is the master; who finds all of them in use waits for one, as elsewhere."""

    async def follow(self) -> None:
        """Leave a master that is one no more: it may go on answering for ten seconds, and what it takes is lost."""
        while True:
            await asyncio.sleep(_FOLLOW_SECONDS)
            with suppress(*_FAULTS):
                await self.get_master_address()

    async def get_master_address(self) -> Any:
        """Where the master is, as the sentinels say. Those connected elsewhere leave when they are not in use."""
        known = self.master_address
        address = await super().get_master_address()  # type: ignore[no-untyped-call]
        if address != known:
            await self.update_active_connections_for_reconnect()  # type: ignore[no-untyped-call]
        return address


class Pause:
    """Spares those who can do without Redis from waiting for one that hangs, once for each question of each request.

    After a fault that took long it is not asked for a second; then one asks, and the others go on doing without until
    that one was answered. A fault that comes at once costs nobody anything, and is no reason to pause.
    """

    def __init__(self) -> None:
        self._until = 0.0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Ask Redis while inside. Raises `unavailable` instead during a pause."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        if started < self._until:
            raise unavailable("redis did not answer a moment ago")
        if self._until:
            self._until = started + _PAUSE_SECONDS
        try:
            yield
        except (*_FAULTS, Error):
            if loop.time() - started > _SLOW_SECONDS:
                self._until = loop.time() + _PAUSE_SECONDS
            raise
        self._until = 0.0


@asynccontextmanager
async def faults_told(pause: Pause | None = None) -> AsyncIterator[None]:
    """Turn whatever is Redis's fault into `unavailable`, at once during a `pause`."""
    try:
        with pause.watching() if pause is not None else nullcontext():
            yield
    except _FAULTS as error:
        raise fault(error) from None


def fault(error: Exception) -> Error:
    """How a fault of Redis is told."""
    return unavailable(f"redis is unavailable: {type(error).__name__}")


async def check(client: "Redis") -> None:
    """Raise `unavailable` unless Redis answers."""
    async with faults_told():
        await client.ping()
