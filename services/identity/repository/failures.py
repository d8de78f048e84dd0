"""Failed attempts in Redis, shared by all replicas and all dialects."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis

from services.identity.domain.failures import FailurePolicy
from shared.redis import Pause, faults_told
from shared.redis_scripts import RedisScripts

_PATIENCE = timedelta(seconds=10)
"""How long an attempt may be under way; one whose verdict never comes counts as failed."""

# KEYS: the attempts by time, and which of them are still under way by the time until which that is believed.
_BEGIN = """
local now, attempt = tonumber(ARGV[1]), ARGV[2]
local allowed, longest, forget_after = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local first, most, patience = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local function delay(failures)
    if failures < allowed then return 0 end
    return math.min(longest, first * 2 ^ (failures - allowed))
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
local failures, undecided = redis.call('ZCARD', KEYS[1]), redis.call('ZCARD', KEYS[2])
if failures > 0 then
    local ends = tonumber(redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]) + delay(failures)
    if now < ends then
        return {math.ceil(ends - now), failures - undecided < allowed and 1 or 0}
    end
    if now >= ends + forget_after then
        redis.call('DEL', KEYS[1], KEYS[2])
        failures = 0
    elseif failures >= most then
        redis.call('ZREMRANGEBYRANK', KEYS[1], 0, failures - most)
        failures = most - 1
    end
end
redis.call('ZADD', KEYS[1], now, attempt)
redis.call('ZADD', KEYS[2], now + patience, attempt)
redis.call('PEXPIRE', KEYS[1], math.ceil(delay(failures + 1) + forget_after))
redis.call('PEXPIRE', KEYS[2], patience)
return {0, 0}
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an attempt may be compared: not for another `wait`.

    `undecided`: that is because of attempts under way, and will be otherwise if they turn out right.
    """

    wait: timedelta
    undecided: bool


class FailureRepository:
    """Attempts that failed, or may have. Each decision is one script (user-pains row 13).

    A `counter` is the blinded name of what is counted for: an account, or a source that an account knows.
    """

    def __init__(self, redis: Redis, scripts: RedisScripts, prefix: str, policy: FailurePolicy, pause: Pause) -> None:
        """`pause` is shared by all who can do without this Redis."""
        self._redis = redis
        self._pause = pause
        self._prefix = prefix
        self._policy = policy
        self._begin = scripts.register(_BEGIN)

    async def begin(self, counter: str, attempt: str, now: datetime) -> Verdict:
        """Count an attempt before it is compared; while a delay lasts nothing is counted, so that it never grows.

        Raises `unavailable`.
        """
        policy = self._policy
        durations = (policy.longest_delay, policy.forget_after, policy.delay(policy.allowed))
        longest, forget_after, first = (_in_milliseconds(duration) for duration in durations)
        async with faults_told(self._pause):
            wait, undecided = await self._begin(
                keys=self._keys(counter),
                args=[
                    _in_milliseconds(now - datetime.fromtimestamp(0, UTC)),
                    attempt,
                    policy.allowed,
                    longest,
                    forget_after,
                    first,
                    policy.most_failures,
                    _in_milliseconds(_PATIENCE),
                ],
            )
        return Verdict(timedelta(milliseconds=wait), bool(undecided))

    async def keep(self, counter: str, attempt: str) -> None:
        """An attempt has failed. Raises `unavailable`; it then counts as failed all the same."""
        async with faults_told(self._pause):
            await self._redis.zrem(self._keys(counter)[1], attempt)

    async def give_back(self, counter: str, attempt: str) -> None:
        """Take one attempt out of the count. Raises `unavailable`."""
        async with faults_told(self._pause), self._redis.pipeline(transaction=True) as pipe:
            for key in self._keys(counter):
                pipe.zrem(key, attempt)
            await pipe.execute()

    async def forget(self, *counters: str) -> None:
        """Begin anew. Raises `unavailable`."""
        async with faults_told(self._pause), self._redis.pipeline(transaction=False) as pipe:
            for counter in counters:
                pipe.delete(*self._keys(counter))
            await pipe.execute()

    def _keys(self, counter: str) -> list[str]:
        # The braces keep both keys of a counter on one node of a Redis Cluster.
        return [f"{self._prefix}identity:{{{counter}}}:{part}" for part in ("attempts", "undecided")]


def _in_milliseconds(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)
