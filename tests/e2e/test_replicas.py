"""What replicas share and what one finishes when it has to go; that one may die is in tests/faults."""

import asyncio

import asyncpg
import pytest

from tests.support.platform import Platform
from tests.support.token_api import TokenApi

pytestmark = pytest.mark.timeout(180)


async def test_a_gateway_that_is_told_to_go_answers_the_request_in_its_hands(platform: Platform, api: TokenApi) -> None:
    """SIGTERM while a request waits for a service: its client still gets the answer, and the gateway ends with 0."""
    await platform.bring(1)
    [gateway], [token] = platform.replicas("gateway"), platform.replicas("token")
    token.process.pause()
    in_hand = asyncio.create_task(api.client_credentials())
    await asyncio.wait({in_hand}, timeout=0.2)
    assert not in_hand.done()
    gateway.process.terminate()
    await gateway.logged("stopping")
    token.process.resume()
    assert (await in_hand).status == 200
    assert await gateway.ended() == 0


async def test_fifty_refreshes_at_once_share_one_successor_and_a_late_one_ends_the_family(
    platform: Platform, api: TokenApi
) -> None:
    """Fifty tabs refresh one token over two replicas: all get the same new one. Replayed after the grace, all is over.

    Between the two, the replicas are replaced by ones without a grace, so that nobody has to wait for its end.
    """
    await platform.bring(2)
    first = (await api.sign_in()).token
    sessions_before = await _live_sessions(platform)
    answers = await asyncio.gather(*(api.grant("refresh_token", refresh_token=first) for _ in range(50)))
    assert {answer.status for answer in answers} == {200}
    [second] = {answer.body["refresh_token"] for answer in answers}
    assert second != first
    assert await _live_sessions(platform) == sessions_before

    await asyncio.to_thread(platform.end, "token")
    replicas = [platform.start("token", DRAGOMAN_TOKEN_REFRESH_GRACE_SECONDS="0") for _ in range(2)]
    try:
        for replica in replicas:
            await replica.ready()
        for token in (first, second):
            dead = await api.grant("refresh_token", refresh_token=token)
            assert (dead.status, dead.body["error"]) == (400, "invalid_grant")
    finally:
        await asyncio.to_thread(platform.end, "token")  # the next test gets replicas with a grace
    assert await _live_sessions(platform) == sessions_before - 1


async def _live_sessions(platform: Platform) -> int:
    connection = await asyncpg.connect(platform.environment["DRAGOMAN_POSTGRES_URL"])
    try:
        return int(await connection.fetchval("SELECT count(*) FROM token.sessions WHERE revoked_at IS NULL"))
    finally:
        await connection.close()
