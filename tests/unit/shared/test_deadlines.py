"""Deadlines: whoever is late is told of, in the order of the deadlines, and nobody else is."""

import asyncio

import pytest

from shared.deadlines import Deadlines

SOON, LATER, NEVER = 0.01, 0.03, 60.0


async def test_only_the_late_are_told_of() -> None:
    """What was not forgotten in time is told of once, the earliest deadline first, whatever came in first."""
    deadlines, told, over = Deadlines(), list[str](), asyncio.Event()
    deadlines.watch("never", NEVER, lambda: told.append("never"))
    deadlines.watch("later", LATER, over.set)
    deadlines.watch("done", SOON, lambda: told.append("done"))
    deadlines.watch("soon", SOON, lambda: told.append("soon"))
    deadlines.forget("done")
    await asyncio.wait_for(over.wait(), 5)
    assert told == ["soon"]


async def test_watching_goes_on_from_inside() -> None:
    """What is told of its deadline may watch something else."""
    deadlines, over = Deadlines(), asyncio.Event()
    deadlines.watch("first", SOON, lambda: deadlines.watch("second", SOON, over.set))
    await asyncio.wait_for(over.wait(), 5)


async def test_forgetting_twice_or_a_stranger() -> None:
    """It does not matter whether what is forgotten was known."""
    Deadlines().forget("nobody")


async def test_many_share_a_timer() -> None:
    """A thousand deadlines, of which each is later than the one before, set one timer."""
    loop = asyncio.get_running_loop()
    timers = 0
    at = loop.call_at

    def counting(*arguments: object, **options: object) -> asyncio.TimerHandle:
        nonlocal timers
        timers += 1
        return at(*arguments, **options)  # type: ignore[arg-type]

    deadlines = Deadlines()
    try:
        loop.call_at = counting  # type: ignore[method-assign]
        for number in range(1000):
            deadlines.watch(number, NEVER + number, lambda: None)
            deadlines.forget(number)
    finally:
        loop.call_at = at  # type: ignore[method-assign]
    assert timers == 1


async def test_a_block_that_is_too_slow() -> None:
    """It is left by TimeoutError, its task is not cancelled any more, and it can be told from a time-out inside."""
    deadlines = Deadlines()
    limit = deadlines.limit(SOON)
    with pytest.raises(TimeoutError), limit:
        await asyncio.Event().wait()
    assert limit.expired
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    limit = deadlines.limit(NEVER)
    with pytest.raises(TimeoutError), limit:
        raise TimeoutError
    assert not limit.expired


async def test_a_block_in_a_block() -> None:
    """The deadline that is over decides: the outer one ends the outer block, also from within the inner one."""
    deadlines = Deadlines()
    inner, outer = deadlines.limit(NEVER), deadlines.limit(SOON)
    with pytest.raises(TimeoutError), outer, inner:
        await asyncio.Event().wait()
    assert (inner.expired, outer.expired) == (False, True)


async def test_a_cancellation_from_outside() -> None:
    """Who is cancelled by somebody else stays cancelled, also when the deadline was over in the same moment."""
    deadlines, inside = Deadlines(), asyncio.Event()

    async def work() -> None:
        with deadlines.limit(NEVER) as limit:
            inside.set()
            try:
                await asyncio.Event().wait()
            finally:
                limit._expire()  # the moment itself cannot be met

    task = asyncio.create_task(work())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_block_that_is_quick_or_fails() -> None:
    """What comes of it comes out, and nobody is cancelled afterwards."""
    deadlines = Deadlines()
    with deadlines.limit(SOON):
        pass
    with pytest.raises(ValueError, match="its own"), deadlines.limit(SOON):
        raise ValueError("its own")
    over = asyncio.Event()
    deadlines.watch("afterwards", LATER, over.set)
    await over.wait()
