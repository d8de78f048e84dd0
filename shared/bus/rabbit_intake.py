"""A consumer, and the work on what it was given."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aio_pika.abc import AbstractIncomingMessage, AbstractQueue, ConsumerTag


class Intake:
    """Knows what is being worked on, so that leaving can wait for it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._consumer: tuple[AbstractQueue, ConsumerTag] | None = None

    async def begin(self, queue: AbstractQueue, work: Callable[[AbstractIncomingMessage], Awaitable[None]]) -> None:
        """Have `work` done on each message; aio-pika gives each a task of its own."""

        async def on_message(message: AbstractIncomingMessage) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            await work(message)

        self._consumer = queue, await queue.consume(on_message)

    async def drain(self) -> None:
        """Take no more and finish what was begun; the caller sets the deadline."""
        if self._consumer is not None:
            queue, tag = self._consumer
            await queue.cancel(tag)
        while self._tasks:
            await asyncio.wait(self._tasks)

    def abandon(self) -> None:
        """Stop working on messages whose channel is gone; the broker delivers them again."""
        self._consumer = None
        for task in self._tasks:
            task.cancel()
