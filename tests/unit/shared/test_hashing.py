"""The pool in which slow hashes run."""

import asyncio
import threading

import pytest
from prometheus_client import CollectorRegistry

from shared.errors import Error, ErrorCode
from shared.hashing import HashPool


async def test_work_is_done_beside_the_event_loop() -> None:
    """The loop turns while a hash is computed, and gets its result or its exception."""
    gate = threading.Event()
    async with HashPool(1, 4) as pool:
        waiting = asyncio.create_task(pool.run(gate.wait, 5))
        await asyncio.sleep(0)
        gate.set()
        assert await waiting
        with pytest.raises(ZeroDivisionError):
            await pool.run(lambda: 1 // 0)


async def test_one_too_many_is_overload() -> None:
    """A full queue refuses at once and has room again when the work is done."""
    gate = threading.Event()
    async with HashPool(1, 1) as pool:
        begun = [asyncio.create_task(pool.run(gate.wait, 5)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Error) as raised:
            await pool.run(int)
        assert raised.value.code == ErrorCode.OVERLOADED
        assert raised.value.retry_after is not None
        gate.set()
        await asyncio.gather(*begun)
        assert await pool.run(int) == 0


async def test_the_load_of_the_pool_is_measured() -> None:
    """Operators see how much is taken of how much, before anything is refused."""
    registry, gate = CollectorRegistry(), threading.Event()
    async with HashPool(1, 3) as pool:
        pool.measure(registry)
        begun = [asyncio.create_task(pool.run(gate.wait, 5)) for _ in range(2)]
        await asyncio.sleep(0)
        assert registry.get_sample_value("dragoman_hash_busy") == 2
        assert registry.get_sample_value("dragoman_hash_limit") == 4
        gate.set()
        await asyncio.gather(*begun)
        await asyncio.sleep(0)
        assert registry.get_sample_value("dragoman_hash_busy") == 0


async def test_a_caller_that_gave_up_still_occupies_its_thread() -> None:
    """Callers that leave cannot make the pool take more than its threads bear."""
    gate, running = threading.Event(), threading.Event()

    def hold() -> None:
        running.set()
        gate.wait(5)

    async with HashPool(1, 0) as pool:
        impatient = asyncio.create_task(pool.run(hold))
        await asyncio.to_thread(running.wait, 5)
        impatient.cancel()
        await asyncio.wait({impatient})
        with pytest.raises(Error):
            await pool.run(int)
        gate.set()
        async with asyncio.timeout(5):
            while True:
                try:
                    assert await pool.run(int) == 0
                    break
                except Error:
                    await asyncio.sleep(0.01)


async def test_a_caller_that_gave_up_in_the_queue_makes_room() -> None:
    """What nobody waits for any more is not computed."""
    gate = threading.Event()
    async with HashPool(1, 1) as pool:
        first = asyncio.create_task(pool.run(gate.wait, 5))
        queued = asyncio.create_task(pool.run(pytest.fail, "was computed"))
        await asyncio.sleep(0)
        queued.cancel()
        await asyncio.wait({queued})
        await asyncio.sleep(0)
        third = asyncio.create_task(pool.run(int))
        gate.set()
        assert await first
        assert await third == 0


async def test_leaving_waits_for_what_runs(caplog: pytest.LogCaptureFixture) -> None:
    """No thread outlives the pool and reports to a loop that is gone."""
    gate, running = threading.Event(), threading.Event()

    def hold() -> None:
        running.set()
        gate.wait(5)

    async with HashPool(1, 1) as pool:
        begun = asyncio.create_task(pool.run(hold))
        await asyncio.to_thread(running.wait, 5)
        asyncio.get_running_loop().call_later(0.05, gate.set)
    assert not any(thread.name.startswith("hash") for thread in threading.enumerate())
    await begun
    assert not caplog.records


def test_there_are_never_more_threads_than_cores() -> None:
    """More would slow each other and the event loop down."""
    assert HashPool(10_000, 1).workers == HashPool(0, 1).workers
