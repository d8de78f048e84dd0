"""Wakes everyone who waits for the next time that something happens."""

import asyncio


class Pulse:
    """Lets any number of tasks wait for the next `fire`; earlier ones do not count."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def fire(self) -> None:
        """Wakes all who wait now."""
        self._next.set()
        self._next = asyncio.Event()

    async def wait(self) -> None:
        """Returns at the next `fire`."""
        await self._next.wait()
