"""Slow hashes in threads of their own, so that the event loop never waits for one."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self, TypeVar

from prometheus_client import CollectorRegistry, Gauge

from shared.errors import Error, ErrorCode

T = TypeVar("T")


class HashPool:
    """At most `workers` hashes at once and `queue` more waiting; beyond that it says `overloaded` instead of piling up.

    More workers than cores would only slow each other down and the event loop with them (reference: 20 threads on two
    cores cost the loop 217 ms, one or two threads 5 ms), so they are capped at the number of cores.
    """

    def __init__(self, workers: int, queue: int) -> None:
        """`workers` 0 means one per core."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.workers = min(workers or cores, cores)
        self._limit = self.workers + queue
        self._busy = 0
        self._executor = ThreadPoolExecutor(self.workers, thread_name_prefix="hash")

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        """Run `work` in the pool. Raises `overloaded` when the queue is full."""
        if self._busy >= self._limit:
            raise Error(ErrorCode.OVERLOADED, "too many passwords wait to be hashed", retry_after=1.0)
        self._busy += 1
        future = self._executor.submit(work, *arguments)
        # Counted until the thread is free again, which is later than when a caller that gave up stops waiting.
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._release))
        return await asyncio.wrap_future(future)

    def measure(self, registry: CollectorRegistry) -> None:
        """Show how much of the pool is taken, whenever the metrics are read."""
        busy = Gauge("dragoman_hash_busy", "Slow hashes that are made or wait for it.", registry=registry)
        busy.set_function(lambda: self._busy)
        limit = Gauge("dragoman_hash_limit", "As many may be made or wait; one more is refused.", registry=registry)
        limit.set(self._limit)

    def _release(self) -> None:
        self._busy -= 1

    async def __aenter__(self) -> Self:
        """Nothing to do: threads start when they are needed."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Drop what waits and wait for what runs, which has the event loop to report to until then."""
        await asyncio.to_thread(self._executor.shutdown, wait=True, cancel_futures=True)
