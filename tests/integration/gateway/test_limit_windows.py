"""Sliding windows: the same rules in Redis and in one process, and what only Redis can show."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from gateway.limits.redis_windows import RedisWindows, open_windows
from gateway.limits.rules import Quota
from gateway.limits.windows import Counted, LocalWindows, Window
from shared.testing import FakeClock

Decide = Callable[..., Awaitable[list[Window]]]
ACCOUNT = Counted("{/p}:account:a", Quota(3, 60), 600)
ADDRESS = Counted("{/p}:address:b", Quota(5, 60), 600)
UNBLOCKED = Counted("{/p}:account:c", Quota(3, 60), 0)


@pytest.fixture
def clock() -> FakeClock:
    """Stands until a test moves it."""
    return FakeClock()


@pytest.fixture
async def shared(redis_url: str, redis_prefix: str) -> AsyncIterator[RedisWindows]:
    """Windows in Redis."""
    async with open_windows(SecretStr(redis_url), redis_prefix) as windows:
        assert windows is not None
        yield windows


@pytest.fixture(params=["redis", "process"])
def decide(request: pytest.FixtureRequest, shared: RedisWindows, clock: FakeClock) -> Decide:
    """Decides about what is given, now."""
    local = LocalWindows()

    async def asked(*counted: Counted) -> list[Window]:
        if request.param == "redis":
            return await shared.decide(counted, clock.now())
        return local.decide(counted, clock.now())

    return asked


async def outcomes(decide: Decide, times: int, *counted: Counted) -> list[str]:
    """What becomes of so many requests: the strictest word for each."""
    words: list[str] = []
    for _ in range(times):
        found = {window.outcome for window in await decide(*counted)}
        words.append(next(word for word in ("blocked", "limited", "allowed") if word in found))
    return words


async def test_one_too_many(decide: Decide, clock: FakeClock) -> None:
    """The quota passes, what comes then is refused for as long as the block lasts, and then it begins anew."""
    assert await outcomes(decide, 6, ACCOUNT) == ["allowed"] * 3 + ["limited", "blocked", "blocked"]
    clock.advance(599.999)
    assert (await decide(ACCOUNT))[0] == Window(0, timedelta(milliseconds=1), "blocked")
    clock.advance(0.001)
    assert await outcomes(decide, 4, ACCOUNT) == ["allowed"] * 3 + ["limited"]


async def test_trying_does_not_prolong_a_block(decide: Decide, clock: FakeClock) -> None:
    """Whoever tries all through a block is let in at the same moment as who waits (row 21)."""
    await outcomes(decide, 4, ACCOUNT)
    for elapsed in range(60, 600, 60):
        clock.advance(60)
        assert (await decide(ACCOUNT))[0] == Window(0, timedelta(seconds=600 - elapsed), "blocked")
    clock.advance(60)
    assert await outcomes(decide, 3, ACCOUNT) == ["allowed"] * 3


async def test_what_is_left(decide: Decide, clock: FakeClock) -> None:
    """Each answer tells how many are left, and when the oldest is forgotten."""
    told = []
    for _ in range(4):
        told += await decide(UNBLOCKED)
        clock.advance(10)
    seconds = timedelta(seconds=1)
    assert told == [
        Window(2, 60 * seconds, "allowed"),
        Window(1, 50 * seconds, "allowed"),
        Window(0, 40 * seconds, "allowed"),
        Window(0, 30 * seconds, "limited"),
    ]


async def test_the_window_slides(decide: Decide, clock: FakeClock) -> None:
    """Without a block there is room again as soon as the oldest request is a window old; refused ones do not count."""
    for _ in range(3):
        await decide(UNBLOCKED)
        clock.advance(20)
    clock.advance(-0.001)
    assert await outcomes(decide, 3, UNBLOCKED) == ["limited"] * 3
    clock.advance(0.001)
    assert await outcomes(decide, 2, UNBLOCKED) == ["allowed", "limited"]
    clock.advance(20)
    assert await outcomes(decide, 2, UNBLOCKED) == ["allowed", "limited"]


async def test_refused_by_one_is_counted_by_none(decide: Decide) -> None:
    """A blocked account uses up nothing of the address, nor a blocked address anything of accounts."""
    assert await outcomes(decide, 8, ACCOUNT, ADDRESS) == ["allowed"] * 3 + ["limited"] + ["blocked"] * 4
    assert await outcomes(decide, 3, ADDRESS) == ["allowed", "allowed", "limited"]
    stranger = Counted("{/p}:account:owner", Quota(3, 60), 600)
    assert await outcomes(decide, 9, stranger, ADDRESS) == ["blocked"] * 9
    assert await outcomes(decide, 3, stranger) == ["allowed"] * 3


async def test_both_at_once(decide: Decide) -> None:
    """Two quotas that are used up by the same request are both blocked."""
    other = Counted("{/p}:address:d", Quota(3, 60), 900)
    await outcomes(decide, 3, ACCOUNT, other)
    assert [window.outcome for window in await decide(ACCOUNT, other)] == ["limited", "limited"]
    assert [window.wait for window in await decide(ACCOUNT, other)] == [timedelta(seconds=n) for n in (600, 900)]


async def test_changed_rule(decide: Decide, clock: FakeClock) -> None:
    """A shorter block, set while one lasts, holds at once; and so does a smaller quota."""
    await outcomes(decide, 4, ACCOUNT)
    shorter = Counted(ACCOUNT.name, Quota(2, 60), 60)
    assert (await decide(shorter))[0].wait == timedelta(seconds=60)
    await outcomes(decide, 3, UNBLOCKED)
    clock.advance(1)
    assert (await decide(Counted(UNBLOCKED.name, Quota(2, 60), 0)))[0] == Window(0, timedelta(seconds=59), "limited")


@pytest.mark.parametrize("seed", range(5))
async def test_redis_and_process_decide_alike(shared: RedisWindows, clock: FakeClock, seed: int) -> None:
    """Any requests at any times have the same fate with and without Redis."""
    chance = random.Random(seed)
    local = LocalWindows()
    things = (ACCOUNT, ADDRESS, UNBLOCKED)
    for _ in range(300):
        asked = chance.sample(things, chance.randint(1, 3))
        assert await shared.decide(asked, clock.now()) == local.decide(asked, clock.now())
        clock.advance(chance.choice([0, 0, 1, 7.5, 20, 61, 200]))


@pytest.mark.parametrize("counted", [ACCOUNT, UNBLOCKED])
async def test_at_once(shared: RedisWindows, redis_url: str, redis_prefix: str, counted: Counted) -> None:
    """Of 200 requests at the same moment, through two replicas, exactly the quota passes (row 13)."""
    clock = FakeClock()
    async with open_windows(SecretStr(redis_url), redis_prefix) as other:
        assert other is not None
        asked = [(shared, other)[n % 2].decide([counted], clock.now()) for n in range(200)]
        windows = [window for [window] in await asyncio.gather(*asked)]
    assert sorted(window.left for window in windows if window.outcome == "allowed") == [0, 1, 2]
    assert sum(window.outcome == "limited" for window in windows) == (1 if counted.block else 197)


async def test_who_gave_up(shared: RedisWindows) -> None:
    """A request that is given up while it waits takes nothing from the others, which get their own answers (row 39)."""
    clock = FakeClock()
    asked = [asyncio.create_task(shared.decide([UNBLOCKED, ADDRESS], clock.now())) for _ in range(4)]
    await asyncio.sleep(0)
    asked[1].cancel()
    done = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(done[1], asyncio.CancelledError)
    assert [[window.left for window in one] for one in (done[0], done[2]) if isinstance(one, list)] == [[2, 4], [0, 2]]


async def test_scripts_forgotten(shared: RedisWindows, redis_url: str) -> None:
    """A Redis that has forgotten its scripts is told anew, and no request is lost or counted twice."""
    clock = FakeClock()
    assert (await shared.decide([UNBLOCKED], clock.now()))[0].left == 2
    async with Redis.from_url(redis_url) as client:
        await client.script_flush()
    assert (await shared.decide([UNBLOCKED], clock.now()))[0].left == 1


async def test_nothing_stays(shared: RedisWindows, redis_url: str, redis_prefix: str) -> None:
    """Everything in Redis ends by itself."""
    clock = FakeClock()
    for _ in range(4):
        await shared.decide([ACCOUNT, ADDRESS], clock.now())
    async with Redis.from_url(redis_url) as client:
        keys = [key async for key in client.scan_iter(match=f"{redis_prefix}*")]
        lives = [await client.pttl(key) for key in keys]
    assert len(lives) == 2
    assert all(0 < milliseconds <= 600_000 for milliseconds in lives)
