"""Lua scripts in Redis: those that are called in one turn of the event loop travel in one pipeline.

Nobody waits for others to call, and five hundred callers take a connection or five rather than queue up for thirty-two.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1
from typing import Any, Self

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from shared.redis import fault, faults_told
from shared.turns import Turns

_MOST_AT_ONCE = 100


@dataclass(slots=True)
class _Call:
    """One call of a script; the caller may be gone by the time of the answer."""

    script: "RedisScript"
    keys: int
    arguments: list[bytes]
    answer: asyncio.Future[Any]


class RedisScripts:
    """The scripts of one client, until it is left. Each call is decided by itself, and has its own answer or error.

    A call that its caller gives up is still carried out. One whose answer does not come is sent again, once, as the
    client does with every command: a script has to be one that may count twice, or to know its caller by an id.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._turns: Turns[None, _Call] = Turns(self._send)
        self._sending: set[asyncio.Task[None]] = set()

    def register(self, source: str) -> "RedisScript":
        """A script that can be called. Its keys are given with each call, and never made up inside."""
        return RedisScript(source, self._turns)

    async def __aenter__(self) -> Self:
        """Nothing is needed to begin."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Give up what is under way."""
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)

    def _send(self, _key: None, calls: list[_Call]) -> None:
        for first in range(0, len(calls), _MOST_AT_ONCE):
            task = asyncio.create_task(self._answer(calls[first : first + _MOST_AT_ONCE]))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _answer(self, calls: list[_Call]) -> None:
        try:
            answers = await self._run(calls)
        except asyncio.CancelledError:
            for call in calls:
                call.answer.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait for an answer are told
            answers = [error] * len(calls)
        for call, answer in zip(calls, answers, strict=True):
            if call.answer.done():
                continue
            if isinstance(answer, Exception):
                call.answer.set_exception(answer)
            else:
                call.answer.set_result(answer)

    async def _run(self, calls: list[_Call]) -> list[Any]:
        async with faults_told():
            answers = await self._pipeline(calls)
            unknown = [n for n, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
            if unknown:  # a server that is new, or was emptied; what it did know has been carried out already
                for script in {calls[n].script for n in unknown}:
                    await self._redis.script_load(script.source)
                for n, answer in zip(unknown, await self._pipeline([calls[n] for n in unknown]), strict=True):
                    answers[n] = answer
        return [fault(answer) if isinstance(answer, RedisError) else answer for answer in answers]

    async def _pipeline(self, calls: list[_Call]) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for call in calls:
                pipeline.evalsha(call.script.sha, call.keys, *call.arguments)
            return await pipeline.execute(raise_on_error=False)


class RedisScript:
    """A script that can be called."""

    def __init__(self, source: str, turns: "Turns[None, _Call]") -> None:
        self.source = source
        self.sha = sha1(source.encode(), usedforsecurity=False).hexdigest()  # what Redis calls a script
        self._turns = turns

    async def __call__(self, keys: Sequence[str], args: Sequence[Any] = ()) -> Any:
        """What the script returns. Raises `unavailable`."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        # Encoded here, so that what cannot be is its own caller's error and not that of the whole pipeline.
        arguments = [str(argument).encode() for argument in (*keys, *args)]
        self._turns.add(None, _Call(self, len(keys), arguments, answer))
        return await answer
