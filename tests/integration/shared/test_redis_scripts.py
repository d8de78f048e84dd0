"""Scripts that travel together, on a real Redis behind a proxy."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from shared.errors import Error
from shared.redis import open_redis
from shared.redis_scripts import RedisScripts
from tests.support.proxy import TcpProxy, proxied_redis

_COUNT = "return redis.call('INCR', KEYS[1])"
_ECHO = "return ARGV[1]"


@pytest.fixture
async def standing(redis_url: str) -> AsyncIterator[tuple[TcpProxy, str]]:
    """What stands before Redis, and its URL."""
    async with proxied_redis(redis_url) as both:
        yield both


@pytest.fixture
def proxy(standing: tuple[TcpProxy, str]) -> TcpProxy:
    """What stands before Redis."""
    return standing[0]


@pytest.fixture
def behind(standing: tuple[TcpProxy, str]) -> str:
    """The URL of Redis through the proxy."""
    return standing[1]


@pytest.fixture
async def scripts(behind: str) -> AsyncIterator[RedisScripts]:
    """Scripts behind the proxy."""
    async with open_redis(behind) as redis, RedisScripts(redis) as running:
        yield running


@pytest.fixture
async def key(redis_url: str, redis_prefix: str) -> AsyncIterator[str]:
    """A counter that is gone afterwards."""
    name = f"{redis_prefix}counter"
    yield name
    async with Redis.from_url(redis_url) as client:
        await client.delete(name)


async def test_five_hundred_calls_take_five_connections(scripts: RedisScripts, proxy: TcpProxy, key: str) -> None:
    """Calls of one turn go out together, a hundred to a connection, and each is carried out once and answered."""
    count = scripts.register(_COUNT)
    answers = await asyncio.gather(*(count([key]) for _ in range(500)))
    assert sorted(answers) == list(range(1, 501))
    assert proxy.accepted == 5


async def test_each_caller_gets_its_own_answer(scripts: RedisScripts) -> None:
    """Calls of several scripts in one turn are not mixed up."""
    echo, length = scripts.register(_ECHO), scripts.register("return #ARGV")
    calls = [(echo([], [f"{n}"]), length([], range(n))) for n in range(50)]
    answers = await asyncio.gather(*(call for pair in calls for call in pair))
    assert answers == [answer for n in range(50) for answer in (f"{n}".encode(), n)]


async def test_a_call_that_fails_harms_no_other(scripts: RedisScripts, key: str) -> None:
    """A script that Redis refuses is told as unavailable to its own caller alone."""
    count, broken = scripts.register(_COUNT), scripts.register("return redis.call('LPUSH', KEYS[1], 1)")
    calls = [count([key]), broken([key]), count([key])]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(answers[1], Error)
    assert answers[1].code == "unavailable"
    assert (answers[0], answers[2]) == (1, 2)


async def test_a_call_that_cannot_be_sent_harms_no_other(scripts: RedisScripts, key: str) -> None:
    """An argument that has no encoding is its own caller's error."""
    count, echo = scripts.register(_COUNT), scripts.register(_ECHO)
    answers = await asyncio.gather(count([key]), echo([], ["\ud800"]), count([key]), return_exceptions=True)
    assert isinstance(answers[1], UnicodeEncodeError)
    assert (answers[0], answers[2]) == (1, 2)


async def test_who_gave_up_takes_nothing_from_the_others(scripts: RedisScripts, key: str) -> None:
    """A caller that goes away has been counted all the same, and the others get their own answers."""
    count = scripts.register(_COUNT)
    calls = [asyncio.create_task(count([key])) for _ in range(3)]
    await asyncio.sleep(0)
    calls[1].cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(answers[1], asyncio.CancelledError)
    assert (answers[0], answers[2]) == (1, 3)


async def test_a_server_that_forgot_some_scripts(scripts: RedisScripts, redis_url: str, key: str) -> None:
    """What Redis does not know it is told, and what it does know is not carried out twice for that."""
    count, late = scripts.register(_COUNT), scripts.register("return 'late'")
    async with Redis.from_url(redis_url) as client:
        await client.script_flush()
        await client.script_load(_COUNT)
        calls = [count([key]), late([])]
        assert await asyncio.gather(*calls) == [1, b"late"]
        assert await client.get(key) == b"1"


@pytest.mark.parametrize("how", ["refuses", "is silent"])
async def test_a_server_that_is_away(scripts: RedisScripts, proxy: TcpProxy, how: str) -> None:
    """Every caller hears `unavailable` soon, and is answered again once Redis is back."""
    echo = scripts.register(_ECHO)
    if how == "refuses":
        proxy.refusing = True
    else:
        proxy.freeze()
    async with asyncio.timeout(5):
        told = await asyncio.gather(*(echo([], ["x"]) for _ in range(300)), return_exceptions=True)
    assert {error.code for error in told if isinstance(error, Error)} == {"unavailable"}
    assert len([error for error in told if isinstance(error, Error)]) == 300
    proxy.refusing = False
    proxy.thaw()
    assert await echo([], ["x"]) == b"x"


async def test_a_process_that_stands_still(behind: str, key: str) -> None:
    """Calls that began before the process was held up for longer than Redis may take are answered all the same."""
    async with open_redis(behind, answer_seconds=0.2) as redis, RedisScripts(redis) as scripts:
        count = scripts.register(_COUNT)

        async def held_up() -> None:
            time.sleep(0.4)  # noqa: ASYNC251 - as if the machine had given the process no time

        answers = [asyncio.create_task(count([key])) for _ in range(250)]
        stop = asyncio.create_task(held_up())
        answers += [asyncio.create_task(count([key])) for _ in range(250)]
        await stop
        assert sorted(await asyncio.gather(*answers)) == list(range(1, 501))


async def test_leaving_gives_up_what_is_under_way(behind: str, proxy: TcpProxy) -> None:
    """Nobody is left waiting, and no task stays behind."""
    proxy.freeze()
    async with open_redis(behind, answer_seconds=20.0) as redis:
        async with RedisScripts(redis) as running:
            call = asyncio.create_task(running.register(_ECHO)([], ["x"]))
            while not proxy.accepted:  # noqa: ASYNC110 - the proxy fires no event
                await asyncio.sleep(0.01)
        assert isinstance((await asyncio.gather(call, return_exceptions=True))[0], asyncio.CancelledError)
