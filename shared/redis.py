"""Redis: a client whose every wait is short, with its faults told as `unavailable`."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from shared.errors import unavailable

_CONNECT_SECONDS = 0.5
_ANSWER_SECONDS = 1.0
_SLOW_SECONDS = 0.1
_PAUSE_SECONDS = 1.0
_FAULTS = (RedisError, OSError, TimeoutError)


@asynccontextmanager
async def open_redis(
    url: str, *, max_connections: int = 32, answer_seconds: float = _ANSWER_SECONDS
) -> AsyncIterator["Redis"]:
    """A client that connects when it is first used; closed on leaving. No answer may take `answer_seconds`.

    A broken connection is tried again once and at once: the server may have closed it while it was idle.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=max_connections,
        timeout=answer_seconds,
        socket_connect_timeout=min(_CONNECT_SECONDS, answer_seconds),
        socket_timeout=answer_seconds,
        health_check_interval=15,
        retry=Retry(NoBackoff(), 1),
    )
    client = Redis(connection_pool=pool)
    try:
        yield client
    finally:
        await client.aclose()
        await pool.aclose()


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
        except _FAULTS:
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
        raise unavailable(f"redis is unavailable: {type(error).__name__}") from None


async def check(client: "Redis") -> None:
    """Raise `unavailable` unless Redis answers."""
    async with faults_told():
        await client.ping()
