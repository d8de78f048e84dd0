"""The Redis stream that carries revocations from `token` to the gateways: its name, its entries, and how it is read.

The stream holds what still matters and nothing that PostgreSQL does not hold too. A mark beside it names the filling,
and the server in it, by the replication id that each start and each failover gives anew: what a replica did not get
before it took over is gone, as is what was not yet on the disk, and ids may go back with the clock. `token` fills the
stream again where mark and server differ; whoever reads begins again where the mark is another.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from pydantic import SecretStr
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from shared.contracts.token import Revocation
from shared.redis import faults_told, open_redis

_BEGINNING = "0-0"
_FIELD = b"r"
_BLOCK_SECONDS = 0.5
_UNKNOWN = "unknown"
"""The server where its name is not told: then only an empty one is noticed."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in one filling of the stream: behind the entry with this id. In another filling it means nothing."""

    filling: str
    entry: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """What `str` made of one; None for anything else."""
        milliseconds, _, rest = text.partition("-")
        sequence, _, filling = rest.partition("-")
        numbers = milliseconds[:20], sequence[:20]
        return cls(filling, "-".join(numbers)) if all(one.isascii() and one.isdigit() for one in numbers) else None

    def __str__(self) -> str:
        return f"{self.entry}-{self.filling}"

    @property
    def order(self) -> tuple[int, int]:
        """By which the places in one filling follow each other."""
        milliseconds, _, sequence = self.entry.partition("-")
        return int(milliseconds), int(sequence)


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
        self._mark = f"{self._name}:filled"

    async def append(self, revocations: Sequence[Revocation], keep_since: datetime) -> None:
        """Add entries, and trim those added before `keep_since`."""
        async with faults_told(), self._redis.pipeline(transaction=False) as pipeline:
            for revocation in revocations:
                pipeline.xadd(self._name, {_FIELD: revocation.model_dump_json()})
            pipeline.xtrim(self._name, minid=f"{int(keep_since.timestamp() * 1000)}-0", approximate=True)
            await pipeline.execute()

    async def server(self) -> tuple[str, bool]:
        """The name of the server at this moment, and whether the stream was filled there."""
        async with faults_told(), self._redis.pipeline(transaction=False) as pipeline:
            pipeline.get(self._mark)
            pipeline.info("replication")
            mark, told = await pipeline.execute(raise_on_error=False)
            if isinstance(mark, Exception):
                raise mark
            if isinstance(told, Exception) and not isinstance(told, NoPermissionError):
                raise told
        name = _UNKNOWN if isinstance(told, Exception) else str(told.get("master_replid", _UNKNOWN))
        return name, mark is not None and name in {_UNKNOWN, mark.decode().partition(":")[0]}

    async def fill(self, revocations: Sequence[Revocation], filling: str) -> None:
        """Fill the stream from the truth; `filling` is the server's name, a colon and what no other filling has."""
        async with faults_told(), self._redis.pipeline(transaction=True) as pipeline:
            for revocation in revocations:
                pipeline.xadd(self._name, {_FIELD: revocation.model_dump_json()})
            pipeline.set(self._mark, filling)
            await pipeline.execute()

    async def end(self) -> Cursor:
        """The place behind the newest entry."""
        async with faults_told(), self._redis.pipeline(transaction=True) as pipeline:
            pipeline.get(self._mark)
            pipeline.xrevrange(self._name, count=1)
            mark, newest = await pipeline.execute()
        return Cursor(_filling(mark), newest[0][0].decode() if newest else _BEGINNING)

    async def read(self, after: Cursor) -> list[tuple[Cursor, Revocation]] | None:
        """Entries behind `after`, each with its own place; waits half a second at most for the first.

        None where the stream was filled anew, so that what follows there may not be all that was missed.
        """
        async with faults_told(), self._redis.pipeline(transaction=False) as pipeline:
            # By one connection, so that both are of the same server.
            pipeline.get(self._mark)
            pipeline.xread({self._name: after.entry}, block=int(_BLOCK_SECONDS * 1000), count=500)
            mark, answer = await pipeline.execute()
        if _filling(mark) != after.filling:
            return None
        return [
            (Cursor(after.filling, entry.decode()), Revocation.model_validate_json(fields[_FIELD]))
            for entry, fields in _entries(answer)
        ]


def _filling(mark: bytes | None) -> str:
    return "" if mark is None else mark.decode()


def _entries(answer: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """The entries of one stream in an XREAD answer, which is a map by RESP3 and a list of pairs by RESP2."""
    if isinstance(answer, dict):
        answer = list(answer.items())
    entries = answer[0][1] if answer else []
    return entries[0] if entries and isinstance(entries[0], list) else entries
