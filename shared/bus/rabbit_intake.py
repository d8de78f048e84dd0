"""Consumers, and the work on what they were given."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

M = TypeVar("M")


class Intake(Generic[M]):
    """Knows what is being worked on, so that leaving can wait for it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stops: list[Callable[[], Awaitable[object]]] = []

    async def begin(
        self,
        consume: Callable[[Callable[[M], Coroutine[Any, Any, None]]], Awaitable[str]],
        cancel: Callable[[str], Awaitable[object]],
        work: Callable[[M], Awaitable[None]],
    ) -> None:
        """Have `work` done on each message of what `consume` takes in, which the libraries do in a task of its own.

        `consume` returns by what to `cancel` it.
        """

        async def on_message(message: M) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            await work(message)

        tag = await consume(on_message)
        self._stops.append(lambda: cancel(tag))

    async def drain(self) -> None:
        """Take no more and finish what was begun; the caller sets the deadline."""
        for stop in self._stops:
            await stop()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def abandon(self) -> None:
        """Stop working on messages whose channel is gone; the broker delivers them again."""
        self._stops.clear()
        for task in self._tasks:
            task.cancel()
