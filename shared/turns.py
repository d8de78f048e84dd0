"""What is wanted in one turn of the event loop, gathered, so that it can be had in one go.

There is no timer and nobody waits for others to come: whatever is there when the loop comes round goes together.
"""

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Turns(Generic[K, T]):
    """Gathers items by key, and hands over each key's items, in their order, when the loop comes round."""

    def __init__(self, hand_over: Callable[[K, list[T]], None]) -> None:
        """`hand_over` is called from the event loop and must not wait."""
        self._hand_over = hand_over
        self._waiting: dict[K, list[T]] = {}

    def add(self, key: K, item: T) -> None:
        """Have `item` handed over at the end of this turn."""
        waiting = self._waiting.get(key)
        if waiting is None:
            self._waiting[key] = [item]
            asyncio.get_running_loop().call_soon(self._come_round, key)
        else:
            waiting.append(item)

    def _come_round(self, key: K) -> None:
        self._hand_over(key, self._waiting.pop(key))
