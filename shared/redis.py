"""Redis: a client whose every wait is short, with its faults told as `unavailable`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from shared.errors import unavailable

_CONNECT_SECONDS = 0.5
_ANSWER_SECONDS = 1.0


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


@asynccontextmanager
async def faults_told() -> AsyncIterator[None]:
    """Turn whatever is Redis's fault into `unavailable`."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise unavailable(f"redis is unavailable: {type(error).__name__}") from None


async def check(client: "Redis") -> None:
    """Raise `unavailable` unless Redis answers."""
    async with faults_told():
        await client.ping()
