"""What is asked for together."""

import asyncio
from collections.abc import Sequence

import pytest

from shared.together import Together


class Table:
    """Something to look up in that remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.begun = asyncio.Semaphore(0)
        self.gate = asyncio.Event()
        self.gate.set()
        self.broken = False

    async def fetch(self, keys: Sequence[int]) -> dict[int, str]:
        """Even numbers have a name."""
        self.asked.append(list(keys))
        self.begun.release()
        await self.gate.wait()
        if self.broken:
            raise OSError("gone")
        return {key: f"name of {key}" for key in keys if key % 2 == 0}


async def test_what_is_asked_in_one_turn_is_fetched_at_once() -> None:
    """Each asker gets what they asked for, and the same key is fetched once."""
    table = Table()
    together = Together(table.fetch)
    found = await asyncio.gather(*(together.ask(key) for key in (2, 1, 2, 4)))
    assert found == ["name of 2", None, "name of 2", "name of 4"]
    assert table.asked == [[2, 1, 4]]


async def test_nothing_is_remembered() -> None:
    """Whoever asks after another has asked gets an answer of their own."""
    table = Table()
    together = Together(table.fetch)
    table.gate.clear()
    first = asyncio.create_task(together.ask(2))
    await table.begun.acquire()
    second = asyncio.create_task(together.ask(2))
    await table.begun.acquire()
    table.gate.set()
    assert [await first, await second] == ["name of 2"] * 2


async def test_a_fault_is_told_to_all_who_asked() -> None:
    """And the next look-up is made anew."""
    table = Table()
    together = Together(table.fetch)
    table.broken = True
    errors = await asyncio.gather(together.ask(2), together.ask(3), return_exceptions=True)
    assert [str(error) for error in errors] == ["gone", "gone"]
    table.broken = False
    assert await together.ask(2) == "name of 2"


async def test_whoever_goes_away_harms_nobody() -> None:
    """One who is cancelled does not cancel the look-up of the others; for nobody nothing is fetched."""
    table = Table()
    together = Together(table.fetch)
    table.gate.clear()
    leaving, staying = (asyncio.create_task(together.ask(2)) for _ in range(2))
    await table.begun.acquire()
    leaving.cancel()
    table.gate.set()
    assert await staying == "name of 2"
    alone = asyncio.create_task(together.ask(6))
    await asyncio.sleep(0)
    alone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await alone
    await asyncio.sleep(0)
    assert table.asked == [[2]]
