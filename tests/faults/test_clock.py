"""One component's clock is a minute off: its tokens, codes and calls are good all the same."""

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import jwt
import pytest
from aiohttp import ClientSession, ClientTimeout
from dragoman_verifier import TokenRefused, Verifier

from deploy.running.environment import COMPONENTS
from shared.clock import SystemClock
from tests.faults.clients import everybody
from tests.faults.report import keep
from tests.faults.traffic import Traffic
from tests.support.platform import ISSUER, Platform, Replica
from tests.support.token_api import TokenApi

pytestmark = pytest.mark.timeout(240)

OFF_SECONDS = 60
_SHORT = {("token", OFF_SECONDS), ("token", -OFF_SECONDS)}
_TOLD_WITHIN_SECONDS = 10.0


@pytest.fixture
async def api(platform: Platform) -> AsyncIterator[TokenApi]:
    """The token API of the module's platform."""
    async with ClientSession(timeout=ClientTimeout(20.0)) as http:
        yield TokenApi(platform, http)


@pytest.mark.parametrize(
    ("name", "off"),
    [
        pytest.param(name, off, marks=() if (name, off) in _SHORT else pytest.mark.long)
        for name in COMPONENTS
        for off in (OFF_SECONDS, -OFF_SECONDS)
    ],
)
async def test_a_clock_that_is_a_minute_off(platform: Platform, api: TokenApi, name: str, off: int, long: bool) -> None:
    """Nothing fails: tokens from before and from now are good here and at other services, codes and sessions too."""
    await platform.bring(1)
    before = await api.sign_in()
    with _moved(platform, name, off) as replica:
        await replica.ready()
        assert (await before.refresh()).status == 200
        address = f"clock-{name}-{off}@example.com"  # somebody new, so that there is no other code
        assert (await api.send_code(email=address)).status == 200
        signed_in = await api.grant("password", username=address, password=await api.code_for(address))
        assert signed_in.status == 200, signed_in
        token = signed_in.body["access_token"]
        issued_at = jwt.decode(token, options={"verify_signature": False})["iat"]
        seen = issued_at - SystemClock().now().timestamp()
        wanted = off if name == "token" else 0
        assert abs(seen - wanted) < _TOLD_WITHIN_SECONDS, "the clock was not moved"
        await _check_elsewhere(api, token, issued_at)
        async with Traffic([platform.url], everybody()) as traffic:
            fault = traffic.fault(f"{name}'s clock a minute {'ahead' if off > 0 else 'behind'}")
            await traffic.more(30 if long else 4, within=60.0)
    assert fault.errors() == {}, platform.refusals
    assert fault.wrong == []
    keep(fault.finding(group="clock", held="tokens, codes, sessions and revocations as ever", long=long))


async def _check_elsewhere(api: TokenApi, token: str, issued_at: float) -> None:
    """Another service, whose clock is right, takes the token; one that is a whole minute further away does not."""
    keys = (await api.keys()).body

    async def published() -> tuple[dict[str, Any], dict[str, str]]:
        return keys, {}

    def verifier(ahead: float) -> Verifier:
        return Verifier(
            ISSUER, ISSUER, keys=published, allow_insecure=True, clock=lambda: SystemClock().now().timestamp() + ahead
        )

    async with verifier(0.0) as right:
        assert (await right.verify(token)).raw["iat"] == issued_at
    too_early = issued_at - SystemClock().now().timestamp() - 2 * OFF_SECONDS
    async with verifier(too_early) as wrong:
        with pytest.raises(TokenRefused):
            await wrong.verify(token)


@contextmanager
def _moved(platform: Platform, name: str, off: int) -> Iterator[Replica]:
    """The only replica of a component has a clock that is `off`; the next test gets one whose clock is right."""
    platform.end(name)
    command = [sys.executable, "-m", "tests.support.moved_clock", name, str(off)]
    try:
        yield platform._launch(name, command, platform.environment)
    finally:
        platform.end(name)
