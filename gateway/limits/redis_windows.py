"""Sliding windows in Redis, shared by all replicas: one script for each decision, many decisions in one round trip."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha1
from typing import Any

from pydantic import SecretStr
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, ResponseError

from gateway.limits.windows import Counted, Outcome, Window
from shared.errors import unavailable
from shared.redis import faults_told, open_redis

_ANSWER_SECONDS = 0.5
"""A request has to wait for this before anything else is done; whatever waits longer is away."""

_REST_SECONDS = 1.0
"""How long Redis is not asked again once it was away, so that not every request waits for it."""

_MOST_AT_ONCE = 100

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
_SHA = sha1(_DECIDE.encode(), usedforsecurity=False).hexdigest()  # what Redis calls a script
_OUTCOMES: tuple[Outcome, ...] = ("allowed", "limited", "blocked")

_Arguments = tuple[int, list[str | int]]
"""How many keys there are, and the keys and arguments."""


class RedisWindows:
    """Decides as `LocalWindows` does. What is asked in one turn of the event loop goes out in one pipeline.

    `close` gives up what is under way.
    """

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix
        self._waiting: list[tuple[_Arguments, asyncio.Future[Any]]] = []
        self._sending: set[asyncio.Task[None]] = set()
        self._resting_until = 0.0

    async def decide(self, counted: Sequence[Counted], now: datetime) -> list[Window]:
        """Count a request everywhere, or, where it is refused by any one, nowhere; the window of each.

        Raises `unavailable` when Redis does not answer at once, or was away a moment ago.
        """
        loop = asyncio.get_running_loop()
        if loop.time() < self._resting_until:
            raise unavailable("redis was away a moment ago")
        answer: asyncio.Future[Any] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._send)
        self._waiting.append((self._arguments(counted, now), answer))
        return [Window(left, timedelta(milliseconds=wait), _OUTCOMES[which]) for left, wait, which in await answer]

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)

    def _arguments(self, counted: Sequence[Counted], now: datetime) -> _Arguments:
        keys = [f"{self._prefix}gateway:limits:{one.name}:{part}" for one in counted for part in ("times", "block")]
        numbers: list[int] = [(now - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)]
        for one in counted:
            numbers += (one.quota.requests, one.quota.seconds * 1000, one.block * 1000)
        return len(keys), [*keys, *numbers]

    def _send(self) -> None:
        """Send what has been asked so far; the tasks of those who asked may be gone by the time of the answer."""
        waiting, self._waiting = self._waiting, []
        for first in range(0, len(waiting), _MOST_AT_ONCE):
            task = asyncio.create_task(self._answer(waiting[first : first + _MOST_AT_ONCE]))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _answer(self, waiting: list[tuple[_Arguments, asyncio.Future[Any]]]) -> None:
        loop = asyncio.get_running_loop()
        was_away = self._resting_until > 0
        if was_away:  # one looks whether Redis is back, the others need not wait for that
            self._resting_until = loop.time() + _REST_SECONDS
        try:
            answers = await self._run([arguments for arguments, _ in waiting])
            self._resting_until = 0.0
        except asyncio.CancelledError:
            for _, future in waiting:
                future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait for an answer are told
            self._resting_until = loop.time() + _REST_SECONDS
            answers = [error] * len(waiting)
        for (_, future), answer in zip(waiting, answers, strict=True):
            if future.done():  # who asked does not wait any more
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    async def _run(self, calls: list[_Arguments]) -> list[Any]:
        """The answers to several decisions; each stands for itself."""
        async with faults_told():
            answers = await self._pipeline(calls)
            if any(isinstance(answer, NoScriptError) for answer in answers):  # a server that is new, or was emptied
                await self._redis.script_load(_DECIDE)
                answers = await self._pipeline(calls)
            for answer in answers:
                if isinstance(answer, ResponseError):
                    raise answer
        return answers

    async def _pipeline(self, calls: list[_Arguments]) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for keys, arguments in calls:
                pipeline.evalsha(_SHA, keys, *arguments)
            return await pipeline.execute(raise_on_error=False)


@asynccontextmanager
async def open_windows(redis_url: SecretStr, prefix: str) -> AsyncIterator[RedisWindows | None]:
    """The windows of the deployment, None where no Redis is configured."""
    if not redis_url.get_secret_value():
        yield None
        return
    async with open_redis(redis_url.get_secret_value(), answer_seconds=_ANSWER_SECONDS) as redis:
        windows = RedisWindows(redis, prefix)
        try:
            yield windows
        finally:
            await windows.close()
