"""Redis dies and comes back empty, hangs, is cut off or emptied: only codes stop, what was revoked stays refused."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.faults.conftest import OwnServers
from tests.faults.redis_kit import LOADED, Watched, redis_fault
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(600)

_TOLD_SECONDS = 1.0
_IN_HAND = 1
"""A connection that is cut while it is made is not tried again."""


async def test_killed_and_restarted_empty(own: OwnServers, long: bool) -> None:
    """SIGKILL, a while without, then a start with nothing in it: an earlier code is worth nothing, the next one is."""
    held = "no code is sent while it is away, the rest goes on; earlier codes are worth nothing"
    async with redis_fault(own.platform, "killed and restarted empty", held, long=long) as at:
        for _ in range(2 if long else 1):
            before = await at.sent()
            own.redis.kill()
            dead = await at.revoked.revoke()
            await at.traffic.more(30 if long else 10)
            await asyncio.to_thread(own.redis.start)
            await at.back(dead)
            assert not await at.accepted(*before), "a code that was lost with Redis is accepted"
            await at.used_once(*await at.sent(*before))
            await _filled_again(own, at)
    assert at.fault.errors("send_code"), "the fault was none"
    assert at.fault.slowest_error() < _TOLD_SECONDS * LOADED


@pytest.mark.parametrize("how", ["process", pytest.param("connections", marks=pytest.mark.long)])
async def test_frozen(own: OwnServers, long: bool, how: str) -> None:
    """It answers nobody and refuses nobody for a while, then goes on: nobody waits long, and nothing in it is lost."""
    seconds = 30.0 if long else 3.0
    held = f"no code is sent for {seconds:.0f} s, the rest goes on; earlier codes are good, once"
    async with redis_fault(own.platform, f"{how} frozen", held, long=long) as at:
        before = await at.sent()
        freeze, thaw = (own.redis.pause, own.redis.resume)
        if how == "connections":
            freeze, thaw = (own.links["redis"].freeze, own.links["redis"].thaw)
        freeze()
        try:
            dead = await at.revoked.revoke()
            await asyncio.sleep(seconds)  # the fault itself
        finally:
            thaw()
        await at.back(dead)
        await at.used_once(*before)
    assert at.fault.errors("send_code"), "the fault was none"


async def test_connections_cut(own: OwnServers, long: bool) -> None:
    """All connections are reset at once, and what Redis had loaded of scripts is gone: hardly anybody notices."""
    name = "connections cut, scripts forgotten"
    async with (
        redis_fault(own.platform, name, "nobody notices", long=long) as at,
        Redis.from_url(own.redis.url) as redis,
    ):
        before = await at.sent()
        for _ in range(10 if long else 3):
            await redis.script_flush()
            own.links["redis"].cut()
            await at.back(await at.revoked.revoke())
        await at.used_once(*before)
    assert sum(at.fault.errors().values()) <= _IN_HAND, own.platform.refusals


async def test_emptied(own: OwnServers, long: bool) -> None:
    """FLUSHALL while all is well: hardly a request fails, codes are lost, the revocation stream is filled again."""
    held = "nobody notices but who has a code; the stream is filled from PostgreSQL"
    async with (
        redis_fault(own.platform, "FLUSHALL, connections cut", held, long=long) as at,
        Redis.from_url(own.redis.url) as redis,
    ):
        for _ in range(10 if long else 2):
            before = await at.sent()
            dead = await at.revoked.revoke()
            await redis.flushall()
            await redis.script_flush()
            own.links["redis"].cut()
            await at.back(dead)
            assert not await at.accepted(*before), "a code that was lost with Redis is accepted"
            await at.used_once(*await at.sent(*before))
            await _filled_again(own, at)
    assert sum(at.fault.errors().values()) <= _IN_HAND, own.platform.refusals


async def _filled_again(own: OwnServers, at: Watched) -> None:
    """The stream has all that was ever revoked, from PostgreSQL: Redis has lost it."""
    name = f"{own.platform.environment['DRAGOMAN_REDIS_PREFIX']}revocations"
    async with Redis.from_url(own.redis.url) as redis:

        async def complete() -> bool | None:
            entries: Any = await redis.xrange(name)
            text = b" ".join(fields[b"r"] for _, fields in entries).decode()
            return all(value in text for value in at.revoked.values) or None

        await eventually(complete, 10.0, "the stream is filled again")
