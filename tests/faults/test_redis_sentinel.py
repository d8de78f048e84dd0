"""The Redis master dies or hangs and the sentinels choose another: no component is restarted, nothing dead accepted."""

import asyncio
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.e2e.conftest import new_platform, start
from tests.faults.conftest import GRACE
from tests.faults.redis_kit import Watched, redis_fault
from tests.support import sentinels
from tests.support.platform import Platform
from tests.support.urls import ServerUrls
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(600)

_CHOSEN_SECONDS = 15.0
_HELD = "codes wait for the new master, the rest goes on; no component is restarted; earlier codes are good, once"


class Behind(NamedTuple):
    """A platform that asks sentinels where Redis is, and what it is told of."""

    platform: Platform
    redis: sentinels.Watched


@pytest.fixture(scope="module")
def behind(server_urls: ServerUrls, worker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    """A whole platform on the run's servers, but for Redis: a master, two replicas and three sentinels."""
    with sentinels.sentinels(tmp_path_factory.mktemp("redis")) as redis:
        asyncio.run(redis.ready(2))
        settings = {"DRAGOMAN_REDIS_URL": redis.url, "DRAGOMAN_OTP_REDIS_URL": redis.url}
        with new_platform(server_urls, worker, tmp_path_factory.mktemp("platform"), GRACE | settings) as platform:
            asyncio.run(start(platform))
            yield Behind(platform, redis)


async def test_the_master_dies(behind: Behind, long: bool) -> None:
    """SIGKILL: codes stop until a replica has taken over, and then all is as it was; what was revoked is refused."""
    async with redis_fault(behind.platform, "master killed, sentinels choose another", _HELD, long=long) as at:
        for again in range(2 if long else 1):
            if again:
                await behind.redis.ready(2)
            await _lose_master(behind, at, hang=False)
    _expect_no_restart(behind, at)


@pytest.mark.long
async def test_the_master_hangs(behind: Behind, long: bool) -> None:
    """It is stopped (SIGSTOP), given up, and goes on later: nobody believes it any more, and nothing is asked of it."""
    await behind.redis.ready(2)
    async with redis_fault(behind.platform, "master frozen, sentinels choose another", _HELD, long=long) as at:
        await _lose_master(behind, at, hang=True)
        await behind.redis.ready(2)  # as a replica of the one that was its own
        await at.back(await at.revoked.revoke())
        await _codes_work(behind, at)
    _expect_no_restart(behind, at)


async def _lose_master(behind: Behind, at: Watched, *, hang: bool) -> None:
    """The master goes, another one is chosen, and the first comes back; codes from before are good, once."""
    master = await asyncio.to_thread(behind.redis.master)
    assert master is not None
    unused, used = await at.sent(), await at.sent()
    await at.used_once(*used)
    if hang:
        master.pause()
    else:
        master.kill()
    try:
        dead = await at.revoked.revoke()

        async def another() -> bool | None:
            return True if await asyncio.to_thread(behind.redis.master) is not master else None

        await eventually(another, _CHOSEN_SECONDS, "another master is chosen")
        await at.back(dead)
    finally:
        if hang:
            master.resume()
    await at.used_once(*unused)
    assert not await at.accepted(*used), "a used code is accepted again"
    await _codes_work(behind, at)
    if not hang:
        await asyncio.to_thread(master.start)


async def _codes_work(behind: Behind, at: Watched) -> None:
    """A new code is accepted, once; unless one more master was chosen meanwhile, as on a machine that is busy."""
    while True:
        master = await asyncio.to_thread(behind.redis.master)
        address, code = await at.sent()
        if await at.accepted(address, code):
            assert not await at.accepted(address, code), "the code is accepted again"
            return
        assert await asyncio.to_thread(behind.redis.master) is not master, "the code is not accepted"


def _expect_no_restart(behind: Behind, at: Watched) -> None:
    assert at.fault.errors("send_code"), "the fault was none"
    assert all(replica.process.running for replica in behind.platform.every), "a component has ended"
