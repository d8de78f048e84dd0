"""Open challenges in Redis. Times come from the caller, never from the server."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.identity.domain.challenges import OpenChallenge
from services.identity.domain.keys import Names
from shared.redis_scripts import RedisScripts

_CREATE = """
redis.call('HSET', KEYS[1], 'challenge', ARGV[1], 'expires', ARGV[2], 'attempts', 0)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""

_ATTEMPT = """
local now, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local found = redis.call('HMGET', KEYS[1], 'challenge', 'expires', 'attempts')
if not found[1] then return false end
-- Not removed: a right answer may still be on its way among those that were counted before.
if now >= tonumber(found[2]) or tonumber(found[3]) >= most then return false end
redis.call('HINCRBY', KEYS[1], 'attempts', 1)
return found[1]
"""

_GIVE_BACK = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HINCRBY', KEYS[1], 'attempts', -1)
return 1
"""

# Who spent it is kept for a moment: the answer may be lost on the way, and the client then asks once more.
_SPEND = """
if redis.call('DEL', KEYS[1]) == 1 then
    redis.call('SET', KEYS[2], ARGV[1], 'PX', 5000)
    return 1
end
return redis.call('GET', KEYS[2]) == ARGV[1] and 1 or 0
"""


class ChallengeRepository:
    """Challenges under a keyed hash of their token, so that a look into Redis answers none.

    Each decision is one script, so that any number of answers at once count one after the other.
    """

    def __init__(self, scripts: RedisScripts, prefix: str, names: Names, max_attempts: int) -> None:
        self._prefix = prefix
        self._names = names
        self._max_attempts = max_attempts
        self._create = scripts.register(_CREATE)
        self._attempt = scripts.register(_ATTEMPT)
        self._give_back = scripts.register(_GIVE_BACK)
        self._spend = scripts.register(_SPEND)

    async def create(self, token: UUID, challenge: OpenChallenge, life: timedelta) -> None:
        """Keep a challenge until it expires. Raises `unavailable`."""
        expires = _milliseconds(challenge.expires_at)
        await self._create(keys=[self._key(token)], args=[challenge.model_dump_json(), expires, _in_milliseconds(life)])

    async def attempt(self, token: UUID, now: datetime) -> OpenChallenge | None:
        """Count an attempt at a challenge, and only then show it; None for one that is gone. Raises `unavailable`."""
        found = await self._attempt(keys=[self._key(token)], args=[_milliseconds(now), self._max_attempts])
        return None if found is None else OpenChallenge.model_validate_json(found)

    async def give_back(self, token: UUID) -> bool:
        """Take back an attempt that nothing came of; False when the challenge is gone. Raises `unavailable`."""
        return bool(await self._give_back(keys=[self._key(token)]))

    async def spend(self, token: UUID, by: UUID) -> bool:
        """Remove a challenge; of several who do it at once, each with an id of its own, one hears True.

        Raises `unavailable`.
        """
        key = self._key(token)
        return bool(await self._spend(keys=[key, f"{key}:spent"], args=[str(by)]))

    def _key(self, token: UUID) -> str:
        return f"{self._prefix}identity:challenge:{self._names.challenge(token)}"


def _milliseconds(moment: datetime) -> int:
    return _in_milliseconds(moment - datetime.fromtimestamp(0, UTC))


def _in_milliseconds(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)
