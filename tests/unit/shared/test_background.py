"""Tasks that run beside a component."""

import asyncio

import pytest

from shared import process


async def test_a_task_that_misses_its_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    """A component ends although one of its tasks did not notice the first time that it was told to."""
    monkeypatch.setattr(process, "_CANCEL_AGAIN_SECONDS", 0.01)
    missed = 0

    async def stubborn() -> None:
        nonlocal missed
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if missed == 2:
                    raise
                missed += 1

    async with asyncio.timeout(10), process.background(task := asyncio.create_task(stubborn())):
        await asyncio.sleep(0)
    assert task.cancelled()
    assert missed == 2


async def test_a_task_that_has_died_is_in_nobodys_way() -> None:
    """A component ends as usual when one of its tasks has failed before."""

    async def fail() -> None:
        raise ValueError("broken")

    task = asyncio.create_task(fail())
    async with process.background(task):
        await asyncio.wait({task})
    assert isinstance(task.exception(), ValueError)
