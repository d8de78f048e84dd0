"""Answers that take a least time, so that a fast one tells nobody who has an account."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared import context


class Stall:
    """Holds answers back until `seconds` after the work on them began, never past the request's own deadline.

    What waits here costs a timer, not a worker.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    @asynccontextmanager
    async def failures(self) -> AsyncIterator[None]:
        """Hold back what fails inside; success goes at once, since it tells no stranger anything."""
        until = self._end()
        try:
            yield
        except Exception:  # whatever went wrong: an outage, too, may come sooner for some users than for others
            await _sleep_until(until)
            raise

    @asynccontextmanager
    async def every_answer(self) -> AsyncIterator[None]:
        """Hold back success as well, where it says the same to everybody."""
        until = self._end()
        async with self.failures():
            yield
        await _sleep_until(until)

    def _end(self) -> float:
        remaining = context.remaining()
        seconds = self._seconds if remaining is None else min(self._seconds, max(0.0, remaining))
        return asyncio.get_running_loop().time() + seconds


async def _sleep_until(moment: float) -> None:
    await asyncio.sleep(moment - asyncio.get_running_loop().time())  # a moment in the past only lets others run
