"""Where each account was signed in to from, in Redis: losing it only means that everybody is a stranger for a while."""

from datetime import UTC, datetime, timedelta
from typing import cast

from redis.asyncio import Redis

from shared.redis import Pause, faults_told


class KnownSources:
    """The sources of each account by the time of the latest sign-in, under names that tell nothing.

    At most `most` of an account are kept, the newest, each for `life` after its latest sign-in; none with no life.
    Times come from the caller, never from the server.
    """

    def __init__(self, redis: Redis, prefix: str, life: timedelta, most: int, pause: Pause) -> None:
        """`pause` is shared by all who can do without this Redis."""
        self._redis = redis
        self._pause = pause
        self._prefix = prefix
        self._life = life
        self._most = most

    async def knows(self, account: str, source: str, now: datetime) -> bool:
        """Whether the account was signed in to from there. Asks alike for every account. Raises `unavailable`."""
        async with faults_told(self._pause):
            signed_in_at = await self._redis.zscore(self._key(account), source)
        return signed_in_at is not None and signed_in_at > _milliseconds(now - self._life)

    async def remember(self, account: str, source: str, now: datetime) -> None:
        """Somebody has proved everything from there. Raises `unavailable`."""
        if not self._life:
            return
        key = self._key(account)
        async with faults_told(self._pause), self._redis.pipeline(transaction=True) as pipe:
            pipe.zadd(key, {source: _milliseconds(now)}, gt=True)
            pipe.zremrangebyrank(key, 0, -self._most - 1)
            pipe.pexpire(key, self._life)
            await pipe.execute()

    async def all(self, account: str) -> list[str]:
        """The names of them all. Raises `unavailable`."""
        async with faults_told(self._pause):
            names = cast("list[bytes]", await self._redis.zrange(self._key(account), 0, -1))
        return [name.decode() for name in names]

    def _key(self, account: str) -> str:
        return f"{self._prefix}identity:{{{account}}}:sources"


def _milliseconds(moment: datetime) -> int:
    return (moment - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)
