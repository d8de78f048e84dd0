"""Any one service dies: what needs it says so within a second, the rest goes on, and all is well when it is back."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.support.platform import Platform
from tests.support.token_api import Ask, Load, TokenApi, expect_away, recovered

pytestmark = pytest.mark.timeout(180)

NEEDS = {
    "token": {"client_credentials", "password", "refresh"},
    "identity": {"password", "send_code"},
    "password": {"password"},
    "otp": {"send_code"},
}


@pytest.mark.parametrize("service", NEEDS)
async def test_a_dead_service_is_told_within_a_second_and_the_rest_goes_on(
    platform: Platform, api: TokenApi, service: str
) -> None:
    """Kill the only replica with requests in its hands: 503 for these and later ones, 200 for others, then recovery."""
    await platform.bring(1)
    requests: dict[str, Ask] = {
        "client_credentials": api.client_credentials,
        "password": api.password,
        "refresh": (await api.sign_in()).refresh,
        "send_code": api.send_code,
        "keys": api.keys,
    }
    for request in requests.values():
        assert (await request()).status == 200
    needing = [request for name, request in requests.items() if name in NEEDS[service]]
    async with AsyncExitStack() as stack:
        others = [
            await stack.enter_async_context(Load(request))
            for name, request in requests.items()
            if name not in NEEDS[service]
        ]
        await _kill_with_requests_in_hand(platform, service, needing)
        for request in needing:
            expect_away(await request())
        for other in others:
            await other.more(5)
            assert other.statuses == {200}
        await platform.start(service).logged("started")
        await recovered(needing)
    for other in others:
        assert other.statuses == {200}
        assert all(answer.seconds < 1.5 for answer in other.answers)


async def _kill_with_requests_in_hand(platform: Platform, service: str, needing: list[Ask]) -> None:
    [replica] = platform.replicas(service)
    replica.process.pause()
    in_hand = [asyncio.ensure_future(request()) for request in needing]
    _, waiting = await asyncio.wait(in_hand, timeout=0.2)
    assert len(waiting) == len(needing), "the service, which stands still, has answered"
    killed = asyncio.get_running_loop().time()
    replica.process.kill()
    for answer in await asyncio.gather(*in_hand):
        expect_away(answer, within=1.3)  # from the sending, which was 0.2 s and a bit earlier
    assert asyncio.get_running_loop().time() - killed < 1.0
