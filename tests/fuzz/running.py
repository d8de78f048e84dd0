"""A platform in a thread of its own, for what drives it from outside of any event loop."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from redis.asyncio import Redis

from tests.dialects.running import Platform, Servers, empty, load_demo, open_platform

T = TypeVar("T")

_DEADLINE_SECONDS = 60.0


class RunningPlatform:
    """`run` has the platform's own loop do something, and waits for it."""

    def __init__(self, platform: Platform, loop: asyncio.AbstractEventLoop) -> None:
        self.platform = platform
        self._loop = loop

    def run(self, doing: Coroutine[Any, Any, T]) -> T:
        """The result, in time or never."""
        return asyncio.run_coroutine_threadsafe(doing, self._loop).result(_DEADLINE_SECONDS)


@contextmanager
def running_platform(servers: Servers, **changed: str) -> Iterator[RunningPlatform]:
    """Run everything with the demo data while inside, and leave nothing behind."""
    started = threading.Event()
    opened: list[RunningPlatform] = []
    failed: list[BaseException] = []
    ends: list[asyncio.Event] = []

    async def serve() -> None:
        try:
            async with open_platform(servers, without=frozenset(), **changed) as platform:
                await load_demo(platform)
                ends.append(asyncio.Event())
                opened.append(RunningPlatform(platform, asyncio.get_running_loop()))
                started.set()
                await ends[0].wait()
        finally:
            await _clear(servers)

    def main() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:  # noqa: BLE001 - told where it can be seen, in the thread that asked
            failed.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=main, name="platform")
    thread.start()
    try:
        started.wait()
        if opened:
            yield opened[0]
    finally:
        if opened:
            opened[0]._loop.call_soon_threadsafe(ends[0].set)
        thread.join()
    if failed:
        raise failed[0]


async def _clear(servers: Servers) -> None:
    await empty(servers)
    async with Redis.from_url(servers.redis) as client:
        keys = [key async for key in client.scan_iter(match=f"{servers.redis_prefix}*")]
        if keys:
            await client.delete(*keys)
