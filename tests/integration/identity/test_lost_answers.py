"""What works once and is taken from Redis, with the answer lost on the way: whoever took it has it all the same."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4  # noqa: TID251 - tests need fresh ids only

import pytest

from services.identity.domain.challenges import OpenChallenge, Proof
from services.identity.domain.keys import Names
from services.identity.domain.provider_states import PendingSignIn, ProviderStates
from services.identity.repository.challenges import ChallengeRepository
from services.identity.repository.provider_states import ProviderStateRepository
from shared.redis import open_redis
from shared.redis_scripts import RedisScripts
from shared.testing import FakeClock
from tests.support.proxy import TcpProxy, proxied_redis

KEY = bytes(range(32))
MINUTE = timedelta(minutes=1)


@dataclass
class Kept:
    """What is kept in Redis, and the way there."""

    proxy: TcpProxy
    challenges: ChallengeRepository
    states: ProviderStateRepository


@pytest.fixture
async def kept(redis_url: str, redis_prefix: str) -> AsyncIterator[Kept]:
    """Redis behind a proxy."""
    async with (
        proxied_redis(redis_url) as (proxy, behind),
        open_redis(behind) as redis,
        RedisScripts(redis) as scripts,
    ):
        yield Kept(
            proxy,
            ChallengeRepository(scripts, redis_prefix, Names(KEY), 3),
            ProviderStateRepository(redis, scripts, redis_prefix, ProviderStates(KEY)),
        )


async def test_a_challenge(kept: Kept) -> None:
    """It is spent by the first, who hears so after a cut too, and by nobody else."""
    now, token = FakeClock().now(), uuid4()
    proof = Proof(dialect="any", methods=("pwd",), proved_at=now)
    challenge = OpenChallenge(kind="second_factor", user_id=uuid4(), proof=proof, expires_at=now + MINUTE)
    await kept.challenges.create(token, challenge, MINUTE)
    first = uuid4()
    kept.proxy.cut_next_after(0)
    assert await kept.challenges.spend(token, first)
    assert not await kept.challenges.spend(token, uuid4())
    assert await kept.challenges.attempt(token, now) is None


async def test_a_sign_in_by_a_provider(kept: Kept) -> None:
    """It is taken by the first, who gets it after a cut too, and by nobody else."""
    now = FakeClock().now()
    pending = PendingSignIn(
        provider="company", dialect="directus", callback_url="https://x/", browser="b", expires_at=now + MINUTE
    )
    await kept.states.create("state", pending)
    kept.proxy.cut_next_after(0)
    assert await kept.states.take("state", now, uuid4()) == pending
    assert await kept.states.take("state", now, uuid4()) is None
