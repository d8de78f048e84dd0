"""A right code whose answer is lost on the way from Redis: the client asks once more, and hears the same."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4  # noqa: TID251 - tests need fresh ids only

import pytest

from services.otp.repository import Attempt, CodeRecords, NewCode
from shared.redis import open_redis
from shared.redis_scripts import RedisScripts
from shared.testing import FakeClock
from tests.support.proxy import TcpProxy, proxied_redis

HOUR = timedelta(hours=1)


@pytest.fixture
async def kept(redis_url: str, redis_prefix: str) -> AsyncIterator[tuple[TcpProxy, CodeRecords]]:
    """Codes in Redis behind a proxy, by a connection that stands."""
    async with (
        proxied_redis(redis_url) as (proxy, behind),
        open_redis(behind) as redis,
        RedisScripts(redis) as scripts,
    ):
        yield proxy, CodeRecords(scripts, redis_prefix, 5)


@pytest.mark.parametrize("counted", [True, False], ids=["a typed code", "a link"])
async def test_lost_answers(kept: tuple[TcpProxy, CodeRecords], counted: bool) -> None:
    """Twenty right codes at once, all of whose answers are cut off, are right; each of them still works once."""
    proxy, records = kept
    now = FakeClock().now()
    accounts = [uuid4().hex for _ in range(20)]
    attempts = [Attempt(uuid4(), "proof", now) for _ in accounts]

    async def check(account: str, attempt: Attempt) -> str:
        if not counted:
            return await records.check_uncounted(account, "sign_in", attempt)
        return (await records.check(account, "sign_in", attempt, HOUR)).outcome

    for account in accounts:
        new = NewCode(id=uuid4(), proof="proof", decoy=False, made_at=now, ttl=HOUR)
        await records.issue(account, "sign_in", new, timedelta(seconds=60))
    proxy.cut_next_after(0)
    assert await asyncio.gather(*map(check, accounts, attempts)) == ["accepted"] * 20
    others = [replace(attempt, id=uuid4()) for attempt in attempts]
    assert await asyncio.gather(*map(check, accounts, others)) == ["wrong_code"] * 20
