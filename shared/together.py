"""What is asked for in one turn of the event loop, asked in one statement."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

from shared.turns import Turns

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Together(Generic[K, V]):
    """Asks once for all that is asked for in one turn of the event loop.

    Nothing is remembered: the answer is what there was after the question.
    """

    def __init__(self, fetch: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]]) -> None:
        """`fetch` is given several different keys, answers for those it can, and has a deadline of its own."""
        self._fetch = fetch
        self._turns: Turns[None, tuple[K, asyncio.Future[V | None]]] = Turns(self._send)
        self._fetching: set[asyncio.Task[None]] = set()

    async def ask(self, key: K) -> V | None:
        """What `fetch` answers for `key`, None without an answer. Raises what `fetch` raises."""
        found: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self._turns.add(None, (key, found))
        return await found

    def _send(self, _key: None, asked: list[tuple[K, asyncio.Future[V | None]]]) -> None:
        task = asyncio.create_task(self._answer(asked))
        self._fetching.add(task)
        task.add_done_callback(self._fetching.discard)

    async def _answer(self, asked: list[tuple[K, asyncio.Future[V | None]]]) -> None:
        waiting = [(key, future) for key, future in asked if not future.done()]
        if not waiting:
            return
        try:
            found = await self._fetch(list(dict.fromkeys(key for key, _ in waiting)))
        except asyncio.CancelledError:
            for _, future in waiting:
                future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, those who asked are told
            for _, future in waiting:
                if not future.done():
                    future.set_exception(error)
        else:
            for key, future in waiting:
                if not future.done():  # who asked does not wait any more
                    future.set_result(found.get(key))
