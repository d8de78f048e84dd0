"""The Redis stream that carries revocations from `token` to the gateways: its name, its entries, and how it is read.

The stream holds what still matters and nothing that PostgreSQL does not hold too: emptied, it is filled again.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from pydantic import SecretStr
from redis.asyncio import Redis

from shared.contracts.token import Revocation
from shared.redis import faults_told, open_redis

BEGINNING = "0-0"
_FIELD = b"r"
_BLOCK_SECONDS = 0.5


@asynccontextmanager
async def open_stream(redis_url: SecretStr, prefix: str) -> AsyncIterator["RevocationStream | None"]:
    """The stream of the deployment, None where no Redis is configured."""
    if not redis_url.get_secret_value():
        yield None
        return
    async with open_redis(redis_url.get_secret_value()) as redis:
        yield RevocationStream(redis, prefix)


class RevocationStream:
    """One stream, named by the deployment's prefix. Raises `unavailable` for whatever is Redis's fault."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._name = f"{prefix}revocations"

    async def append(self, revocations: Sequence[Revocation], keep_since: datetime) -> None:
        """Add entries, and trim those added before `keep_since`."""
        async with faults_told(), self._redis.pipeline(transaction=False) as pipeline:
            for revocation in revocations:
                pipeline.xadd(self._name, {_FIELD: revocation.model_dump_json()})
            pipeline.xtrim(self._name, minid=f"{int(keep_since.timestamp() * 1000)}-0", approximate=True)
            await pipeline.execute()

    async def is_lost(self) -> bool:
        """Whether Redis came back empty. A mark of its own tells, since an entry may have been added since."""
        async with faults_told():
            return not await self._redis.exists(f"{self._name}:filled")

    async def fill(self, revocations: Sequence[Revocation]) -> None:
        """Fill the stream from the truth. Done twice, entries are there twice, which changes nothing."""
        async with faults_told(), self._redis.pipeline(transaction=True) as pipeline:
            for revocation in revocations:
                pipeline.xadd(self._name, {_FIELD: revocation.model_dump_json()})
            pipeline.set(f"{self._name}:filled", "1")
            await pipeline.execute()

    async def end(self) -> str:
        """The cursor behind the newest entry."""
        async with faults_told():
            newest: Any = await self._redis.xrevrange(self._name, count=1)
        return newest[0][0].decode() if newest else BEGINNING

    async def read(self, after: str) -> list[tuple[str, Revocation]]:
        """Entries behind the cursor `after`, each with its own; waits half a second at most for the first."""
        async with faults_told():
            answer = await self._redis.xread({self._name: after}, block=int(_BLOCK_SECONDS * 1000), count=500)
        return [(entry.decode(), Revocation.model_validate_json(fields[_FIELD])) for entry, fields in _entries(answer)]


def _entries(answer: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """The entries of one stream in an XREAD answer, which is a map by RESP3 and a list of pairs by RESP2."""
    if isinstance(answer, dict):
        answer = list(answer.items())
    entries = answer[0][1] if answer else []
    return entries[0] if entries and isinstance(entries[0], list) else entries
