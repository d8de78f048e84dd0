"""Sliding windows in Redis, shared by all replicas: one script for each decision."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from pydantic import SecretStr

from gateway.limits.windows import Counted, Outcome, Window
from shared.errors import Error, unavailable
from shared.redis import open_redis
from shared.redis_scripts import RedisScripts

_ANSWER_SECONDS = 0.5
"""A request has to wait for this before anything else is done; whatever waits longer is away."""

_REST_SECONDS = 1.0
"""How long Redis is not asked again once it was away, so that not every request waits for it."""

# KEYS: for each quota the times of its requests, oldest first, and when its block ends.
# ARGV: now, then for each quota how many requests, in how long, and how long the block is; times in milliseconds.
# Returns for each quota what is left, how long until there is more, and 0 for allowed, 1 limited, 2 blocked.
_DECIDE = """
local now, blocked, full, states = tonumber(ARGV[1]), false, false, {}
for n = 1, #KEYS / 2 do
    local times, ends = KEYS[2 * n - 1], tonumber(redis.call('GET', KEYS[2 * n]) or 0)
    local state = {
        most = tonumber(ARGV[3 * n - 1]), window = tonumber(ARGV[3 * n]), block = tonumber(ARGV[3 * n + 1])
    }
    state.oldest = redis.call('LINDEX', times, 0)
    while state.oldest and tonumber(state.oldest) <= now - state.window do
        redis.call('LPOP', times)
        state.oldest = redis.call('LINDEX', times, 0)
    end
    state.oldest = tonumber(state.oldest or now)
    state.used = redis.call('LLEN', times)
    state.blocked = math.min(ends - now, state.block)
    if state.blocked > 0 then blocked = true elseif state.used >= state.most then full = true end
    states[n] = state
end
local answers = {}
for n, state in ipairs(states) do
    local times, wait = KEYS[2 * n - 1], state.oldest + state.window - now
    if state.blocked > 0 then
        answers[n] = {0, state.blocked, 2}
    elseif state.used >= state.most and not blocked then
        if state.block > 0 then
            redis.call('SET', KEYS[2 * n], now + state.block, 'PX', state.block)
            redis.call('DEL', times)
            wait = state.block
        end
        answers[n] = {0, wait, 1}
    else
        if not blocked and not full then
            redis.call('RPUSH', times, ARGV[1])
            redis.call('PEXPIRE', times, state.window)
            state.used = state.used + 1
        end
        answers[n] = {math.max(0, state.most - state.used), wait, 0}
    end
end
return answers
"""
_OUTCOMES: tuple[Outcome, ...] = ("allowed", "limited", "blocked")


class RedisWindows:
    """Decides as `LocalWindows` does."""

    def __init__(self, scripts: RedisScripts, prefix: str) -> None:
        self._prefix = prefix
        self._decide = scripts.register(_DECIDE)
        self._resting_until = 0.0

    async def decide(self, counted: Sequence[Counted], now: datetime) -> list[Window]:
        """Count a request everywhere, or, where it is refused by any one, nowhere; the window of each.

        Raises `unavailable` when Redis does not answer at once, or was away a moment ago.
        """
        loop = asyncio.get_running_loop()
        if loop.time() < self._resting_until:
            raise unavailable("redis was away a moment ago")
        keys = [f"{self._prefix}gateway:limits:{one.name}:{part}" for one in counted for part in ("times", "block")]
        numbers: list[int] = [(now - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)]
        for one in counted:
            numbers += (one.quota.requests, one.quota.seconds * 1000, one.block * 1000)
        if self._resting_until:  # one looks whether it is back, the others need not wait for that
            self._resting_until = loop.time() + _REST_SECONDS
        try:
            answer = await self._decide(keys, numbers)
        except Error:
            self._resting_until = loop.time() + _REST_SECONDS
            raise
        self._resting_until = 0.0
        return [Window(left, timedelta(milliseconds=wait), _OUTCOMES[which]) for left, wait, which in answer]


@asynccontextmanager
async def open_windows(redis_url: SecretStr, prefix: str) -> AsyncIterator[RedisWindows | None]:
    """The windows of the deployment, None where no Redis is configured."""
    if not redis_url.get_secret_value():
        yield None
        return
    async with (
        open_redis(redis_url.get_secret_value(), answer_seconds=_ANSWER_SECONDS) as redis,
        RedisScripts(redis) as scripts,
    ):
        yield RedisWindows(scripts, prefix)
