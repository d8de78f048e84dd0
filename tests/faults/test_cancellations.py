"""Requests that are given up at random moments: no answer reaches another caller (user-pains row 39)."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import ClientSession, ClientTimeout, TCPConnector

from shared.contracts.otp import CodeIssued, IssueCode
from shared.postgres import Database
from shared.redis import open_redis
from tests.contract.bus.transports import Rabbit
from tests.contract.bus.vehicles import NOON
from tests.faults.cancelling import Outcome, cancel_at_random
from tests.faults.clients import TOKEN, everybody
from tests.faults.report import Finding, keep
from tests.faults.traffic import Traffic
from tests.support.platform import Platform
from tests.support.token_api import CLIENT

pytestmark = pytest.mark.timeout(240)

_LEAST_PART = 10
"""At least one of so many has to have been given up, or nothing was tried."""


@pytest.fixture
def number(long: bool) -> int:
    """How many requests."""
    return 10_000 if long else 1_000


async def test_on_redis(redis_url: str, redis_prefix: str, number: int, long: bool) -> None:
    """Commands, pipelines and scripts share a few connections; each answer is its own question's, and none is lost."""
    script = "return {ARGV[1], redis.call('GET', KEYS[1])}"
    async with open_redis(redis_url, max_connections=8) as redis:
        for n in range(100):
            await redis.set(f"{redis_prefix}{n}", n)

        async def ask(n: int) -> int:
            key = f"{redis_prefix}{n % 100}"
            match n % 3:
                case 0:
                    return _whole(n, await redis.get(key))
                case 1:
                    async with redis.pipeline(transaction=False) as pipeline:
                        pipeline.exists(key)
                        pipeline.get(key)
                        _, value = await pipeline.execute()
                    return _whole(n, value)
                case _:
                    told: Any = await redis.eval(script, 1, key, str(n))
                    return int(told[0]) if int(told[1]) == n % 100 else -1

        outcome = await cancel_at_random(ask, number)
        _judge(outcome, number, "Redis", long=long)
        assert await asyncio.gather(*(ask(n) for n in range(64))) == list(range(64))


async def test_on_postgresql(postgres_url: str, number: int, long: bool) -> None:
    """Statements and transactions share a few connections; each answer is its own question's, and none is lost."""
    async with Database(postgres_url, name="cancellations", max_size=8, acquire_seconds=10.0) as database:

        async def ask(n: int) -> int:
            if n % 2:
                row = await database.fetchrow("SELECT $1::int AS n, pg_sleep(0.0005)", n)
                assert row is not None
                return int(row["n"])
            async with database.transaction() as connection:
                await connection.execute("SELECT set_config('dragoman.n', $1, true)", str(n))
                return int(await connection.fetchval("SELECT current_setting('dragoman.n')"))

        outcome = await cancel_at_random(ask, number)
        _judge(outcome, number, "PostgreSQL", long=long)
        assert await asyncio.gather(*(ask(n) for n in range(64))) == list(range(64))


async def test_on_the_bus(rabbitmq_url: str, number: int, long: bool) -> None:
    """Calls travel together and their answers too; each answer is its own call's, and none is lost."""

    async def issue(call: IssueCode) -> CodeIssued:
        n = int(call.account)
        await asyncio.sleep((n % 5) / 1000)  # so that answers overtake each other
        return CodeIssued(expires_at=NOON + timedelta(seconds=n))

    async with Rabbit(rabbitmq_url) as rabbit:
        await rabbit.start("otp", {IssueCode: issue})
        identity = await rabbit.start("identity")

        async def ask(n: int) -> int:
            call = IssueCode(account=str(n), purpose="sign_in", channel="email", address="a@example.com")
            return round(((await identity.call(call)).expires_at - NOON).total_seconds())

        outcome = await cancel_at_random(ask, number)
        _judge(outcome, number, "the bus", long=long)
        assert await asyncio.gather(*(ask(n) for n in range(64))) == list(range(64))


async def test_on_the_whole_platform(platform: Platform, number: int, long: bool) -> None:
    """Clients hang up at random moments: those who stay get their own tokens and claims, and never an error."""
    async with (
        ClientSession(connector=TCPConnector(limit=0), timeout=ClientTimeout(20.0)) as http,
        Traffic([platform.url], everybody()) as traffic,
    ):
        url = platform.url + TOKEN
        fault = traffic.fault("HTTP requests given up by their clients")

        async def ask(n: int) -> int:
            body = {"grant_type": "client_credentials", **CLIENT}
            given = {"X-Request-Id": f"given-up-{n}"}
            async with http.post(url, json=body, headers=given) as answer:
                assert answer.status == 200
                return int(answer.headers["X-Request-Id"].rpartition("-")[2])

        outcome = await cancel_at_random(ask, number)
        await traffic.more(3)
    assert outcome.wrong == []
    assert outcome.cancelled > number / _LEAST_PART
    assert fault.errors() == {}, platform.refusals
    assert fault.wrong == []
    more: dict[str, float | int | str] = {"given up": f"{outcome.cancelled:,} of {number:,}"}
    keep(fault.finding(group="cancellations", held="others got their own answers", long=long, more=more))


def _whole(n: int, value: Any) -> int:
    """The question's number, when the value is that of its key."""
    return n if int(value) == n % 100 else -1


def _judge(outcome: Outcome, number: int, where: str, *, long: bool) -> None:
    assert outcome.wrong == []
    assert outcome.errors == []
    assert outcome.answered + outcome.cancelled == number
    assert outcome.cancelled > number / _LEAST_PART
    keep(
        Finding(
            fault=f"requests cancelled at random on {where}",
            group="cancellations",
            held="each answer reached its own caller",
            requests=number,
            errors={},
            wrong=0,
            long=long,
            more={"cancelled": outcome.cancelled},
        )
    )
