"""Waiting for what will happen, with a deadline."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

_INTERVAL_SECONDS = 0.02


async def eventually(look: Callable[[], Awaitable[T | None]], seconds: float, what: str) -> T:
    """The first result of `look` that is not None; AssertionError that names `what` when there is none in time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while (found := await look()) is None:
        assert loop.time() < end, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(_INTERVAL_SECONDS)
    return found
