"""One component's clock is a minute off: its tokens, codes and calls are good all the same."""

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import jwt
import pytest
from aiohttp import ClientSession, ClientTimeout
from dragoman_verifier import TokenRefused, Verifier

from deploy.running.components import program
from deploy.running.environment import COMPONENTS
from shared.clock import SystemClock
from tests.faults.clients import everybody
from tests.faults.report import keep
from tests.faults.traffic import Traffic
from tests.support.platform import ISSUER, Platform, Replica
from tests.support.token_api import CLIENT, TokenApi
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(240)

OFF_SECONDS = 60
_SHORT = {("token", OFF_SECONDS), ("token", -OFF_SECONDS)}
_TOLD_WITHIN_SECONDS = 10.0
_MOST_TRIES = 60


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
    with _moved(platform, name, off) as [replica]:
        await replica.ready()
        assert (await before.refresh()).status == 200
        address = f"clock-{name}-{off}@example.com"  # somebody new, so that there is no other code
        assert (await api.send_code(email=address)).status == 200
        signed_in = await api.grant("password", username=address, password=await api.code_for(address))
        assert signed_in.status == 200, signed_in
        token = signed_in.body["access_token"]
        issued_at = _issued_at(token)
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


@pytest.mark.parametrize(
    "offs",
    [
        (OFF_SECONDS / 2, -OFF_SECONDS / 2),
        pytest.param((OFF_SECONDS, 0), marks=pytest.mark.long),
        pytest.param((0, -OFF_SECONDS), marks=pytest.mark.long),
    ],
)
async def test_two_replicas_of_token_a_minute_apart(
    platform: Platform, api: TokenApi, offs: tuple[float, float], long: bool
) -> None:
    """What one of them, the first of which is ahead, has issued, advanced or ended is so for the other one.

    Only the grace for a refresh token that comes again has to be longer than they are apart.
    """
    await platform.bring(1)
    with _moved(platform, "token", *offs) as replicas:
        for replica in replicas:
            await replica.ready()
        both = [await _issued_by_clock(api, off) for off in offs]
        for token in both:
            for _ in range(4):  # each of the two is asked
                assert await _is_active(api, token)
            await _check_elsewhere(api, token, _issued_at(token))
        session = await api.sign_in()
        for _ in range(6):
            before = session.token
            assert (await session.refresh()).status == 200
            again = await api.grant("refresh_token", refresh_token=before)
            assert again.body["refresh_token"] == session.token
        await platform.run(program("dragoman"), "keys", "rotate", "--now")
        both += [await _issued_by_clock(api, off) for off in offs]
        assert len({jwt.get_unverified_header(token)["kid"] for token in both}) == 2
        for token in both:
            assert await _is_active(api, token)
        async with Traffic([platform.url], everybody()) as traffic:
            fault = traffic.fault(f"clocks of two replicas of token {offs[0]:+.0f} s and {offs[1]:+.0f} s")
            await traffic.more(30 if long else 4, within=60.0)
        fault.close()
        ended = await _end_users(platform, api, ahead=offs[0], behind=replicas[1])
    held = f"tokens, keys and sessions of each count for the other; no session left of {ended} users who were revoked"
    keep(fault.finding(group="clock", held=held, long=long))
    assert fault.errors() == {}, platform.refusals
    assert fault.wrong == []


async def _is_active(api: TokenApi, token: str) -> bool:
    answer = await api.request("POST", "/oauth/v2/introspect", {**CLIENT, "token": token})
    assert answer.status == 200, answer
    return answer.body["active"] is True


async def _issued_by_clock(api: TokenApi, off: float) -> str:
    """An access token from the replica whose clock is `off`."""

    async def ask() -> str | None:
        token: str = (await api.client_credentials()).body["access_token"]
        return token if _is_from(token, off) else None

    return await eventually(ask, 20.0, f"a token is issued {off:+.0f} s away from now")


async def _end_users(platform: Platform, api: TokenApi, ahead: float, behind: Replica) -> int:
    """Revoke users who have just signed in, until one replica has ended what the one that is `ahead` has begun.

    Returns how many; none has a session left.
    """
    for number in range(_MOST_TRIES):
        address = f"clock-{ahead:+.0f}-{number}@example.com"
        assert (await api.send_code(email=address)).status == 200
        signed_in = await api.grant("password", username=address, password=await api.code_for(address))
        assert signed_in.status == 200, signed_in
        token, revoked_before = signed_in.body["access_token"], _revoked_by(behind)
        user = jwt.decode(token, options={"verify_signature": False})["sub"]
        await platform.run(program("dragoman"), "revoke", "user", user)
        refreshed = await api.grant("refresh_token", refresh_token=signed_in.body["refresh_token"])
        assert refreshed.status == 400, refreshed
        if _revoked_by(behind) > revoked_before and _is_from(token, ahead):
            return number + 1
    raise AssertionError("no session of the one replica was ever ended by the other")


def _revoked_by(replica: Replica) -> int:
    return sum(line.get("subject") == "token.revoke.v1" for line in replica.lines())


def _is_from(token: str, off: float) -> bool:
    """Whether the replica whose clock is `off` has issued the token."""
    seen = _issued_at(token) - SystemClock().now().timestamp()
    return abs(seen - off) < _TOLD_WITHIN_SECONDS


def _issued_at(token: str) -> float:
    return float(jwt.decode(token, options={"verify_signature": False})["iat"])


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
def _moved(platform: Platform, name: str, *offs: float) -> Iterator[list[Replica]]:
    """The only replicas of a component have clocks that are `offs`; the next test gets one whose clock is right."""
    platform.end(name)
    command = [sys.executable, "-m", "tests.support.moved_clock", name]
    try:
        yield [platform._launch(name, [*command, str(off)], platform.environment) for off in offs]
    finally:
        platform.end(name)
