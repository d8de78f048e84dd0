"""Sessions of the `backoffice` dialect: how they begin, go on, and end."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import jwt
import pyotp
import pytest
import pytest_asyncio

from shared.contracts.identity import CreateUser
from tests.dialects.conftest import OpenPlatform
from tests.dialects.exchanges import check_headers
from tests.dialects.running import Answer, Platform
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

PASSWORD = "Secret123"
TOTP_SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
SIGN_IN, CONFIRM, REFRESH, SIGN_OUT = "/api/v2/signin", "/api/v2/2fa/confirm", "/api/v2/refresh", "/api/v2/signout"


@pytest_asyncio.fixture(loop_scope="module")
async def email(platform: Platform, request: pytest.FixtureRequest) -> str:
    """A user of the test's own, without a second factor."""
    return await new_user(platform, request.node.name)


async def new_user(platform: Platform, name: str, **more: Any) -> str:
    """Create a user; the e-mail address."""
    address = f"{''.join(filter(str.isalnum, name))}@backoffice.example.com"
    await platform.operate(CreateUser(email=address, password=PASSWORD, enforce_policy=False, **more))
    platform.clock.advance(1)
    return address


async def post(platform: Platform, path: str, **fields: str) -> Answer:
    """POST these fields."""
    answer = await platform.send("POST", path, json=fields)
    check_headers(answer)
    return answer


async def signed_in(platform: Platform, email: str) -> dict[str, Any]:
    """What a user who signs in gets."""
    answer = await post(platform, SIGN_IN, email=email, password=PASSWORD)
    assert answer.status == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def sign_out(platform: Platform, access_token: str) -> Answer:
    """Sign out by an access token."""
    answer = await platform.send("POST", SIGN_OUT, headers={"Authorization": f"Bearer {access_token}"})
    check_headers(answer)
    return answer


async def used(platform: Platform, access_token: str) -> int:
    """The status of a request that shows an access token."""
    headers = {"Authorization": f"Bearer {access_token}"}
    return (await platform.send("GET", "/oauth/v2/userinfo", headers=headers)).status


async def test_times(platform: Platform, email: str) -> None:
    """The times beside a token are its own to the second: ten hours for access, thirty days for refresh."""
    body = await signed_in(platform, email)
    access, refresh = body["accessToken"], body["refreshToken"]
    claims = jwt.decode(access["token"], options={"verify_signature": False})
    assert datetime.fromisoformat(access["createdAt"]) == datetime.fromtimestamp(claims["iat"], UTC)
    assert datetime.fromisoformat(access["expiresAt"]) == datetime.fromtimestamp(claims["exp"], UTC)
    assert claims["exp"] - claims["iat"] == 36_000
    assert claims["client_id"] == "backoffice"
    lived = datetime.fromisoformat(refresh["expiresAt"]) - datetime.fromisoformat(refresh["createdAt"])
    assert (lived.days, lived.seconds) == (30, 0)


async def test_authenticator(platform: Platform) -> None:
    """A user with an authenticator app signs in by its code, and gets a session; the same code counts once."""
    email = await new_user(platform, "authenticator", totp_secret=TOTP_SECRET)
    details = (await signed_in(platform, email))["2faDetails"]
    assert details["provider"] == "totp"
    code = pyotp.TOTP(TOTP_SECRET).at(platform.clock.now())
    answer = await post(platform, CONFIRM, token=details["token"], code=code)
    assert answer.status == 200, answer.text
    claims = jwt.decode(answer.json()["accessToken"]["token"], options={"verify_signature": False})
    assert claims["amr"] == ["pwd", "otp", "mfa"]
    again = (await signed_in(platform, email))["2faDetails"]["token"]
    assert (await post(platform, CONFIRM, token=again, code=code)).status == 401


async def test_challenge_ends_with_time(platform: Platform) -> None:
    """A second factor has to be proved before the time that was told."""
    email = await new_user(platform, "late", totp_secret=TOTP_SECRET)
    details = (await signed_in(platform, email))["2faDetails"]
    ends = datetime.fromisoformat(details["expiresAt"])
    platform.clock.advance((ends - platform.clock.now()).total_seconds() + 1)  # it was told in whole seconds
    code = pyotp.TOTP(TOTP_SECRET).at(platform.clock.now())
    answer = await post(platform, CONFIRM, token=details["token"], code=code)
    assert (answer.status, answer.json()["message"]) == (401, "Invalid or expired verification code.")


async def test_challenge_ends_with_guesses(platform: Platform) -> None:
    """After a few wrong codes the right one is refused too, in the same words; the user has to start again."""
    email = await new_user(platform, "guesser", totp_secret=TOTP_SECRET)
    token = (await signed_in(platform, email))["2faDetails"]["token"]
    answers = {(await post(platform, CONFIRM, token=token, code="no code")).text for _ in range(3)}
    code = pyotp.TOTP(TOTP_SECRET).at(platform.clock.now())
    answers.add((await post(platform, CONFIRM, token=token, code=code)).text)
    assert len(answers) == 1
    token = (await signed_in(platform, email))["2faDetails"]["token"]
    assert (await post(platform, CONFIRM, token=token, code=code)).status == 200


async def test_challenge_raced(platform: Platform) -> None:
    """Of many who send the right code at once one gets tokens."""
    email = await new_user(platform, "raced", totp_secret=TOTP_SECRET)
    token = (await signed_in(platform, email))["2faDetails"]["token"]
    code = pyotp.TOTP(TOTP_SECRET).at(platform.clock.now())
    answers = await asyncio.gather(*(post(platform, CONFIRM, token=token, code=code) for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [200, 401, 401, 401, 401]


async def test_block(open_other: OpenPlatform) -> None:
    """Who fails too often waits, with the right password too, and is told how long."""
    async with open_other(identity_failures_allowed="3") as platform:
        for _ in range(3):
            assert (await post(platform, SIGN_IN, email="someone@example.com", password="wrong")).status == 401
        answer = await post(platform, SIGN_IN, email="someone@example.com", password="def56789")
        assert (answer.status, answer.json()["code"]) == (429, 429)
        platform.clock.advance(int(answer.headers["Retry-After"]))
        assert (await post(platform, SIGN_IN, email="someone@example.com", password="def56789")).status == 200


async def test_tabs(platform: Platform, email: str) -> None:
    """Tabs that refresh at the same time all go on, with one and the same refresh token."""
    token = (await signed_in(platform, email))["refreshToken"]["token"]
    answers = await asyncio.gather(*(post(platform, REFRESH, refreshToken=token) for _ in range(5)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.json()["refreshToken"]["token"] for answer in answers}) == 1


async def test_stolen_refresh_token(platform: Platform, email: str) -> None:
    """A refresh token that comes back long after it was used ends the session of whoever has it."""
    first = (await signed_in(platform, email))["refreshToken"]["token"]
    second = (await post(platform, REFRESH, refreshToken=first)).json()["refreshToken"]["token"]
    platform.clock.advance(3600)
    assert (await post(platform, REFRESH, refreshToken=first)).status == 401
    assert (await post(platform, REFRESH, refreshToken=second)).status == 401


async def test_sign_out(platform: Platform, email: str) -> None:
    """Signing out ends this session with all its tokens, everywhere, and no other one."""
    here, there = await signed_in(platform, email), await signed_in(platform, email)
    later = (await post(platform, REFRESH, refreshToken=here["refreshToken"]["token"])).json()
    access = later["accessToken"]["token"]
    assert await used(platform, access) == 200
    assert (await sign_out(platform, access)).status == 200
    assert (await sign_out(platform, access)).status == 401
    assert (await post(platform, REFRESH, refreshToken=later["refreshToken"]["token"])).status == 401

    async def is_dead() -> bool | None:
        return True if await used(platform, here["accessToken"]["token"]) == 401 else None

    await eventually(is_dead, 5.0, "the session's first access token is refused")
    assert await used(platform, access) == 401
    assert await used(platform, there["accessToken"]["token"]) == 200
    assert (await post(platform, REFRESH, refreshToken=there["refreshToken"]["token"])).status == 200


async def test_sign_out_raced(platform: Platform, email: str) -> None:
    """Of many who sign out at once one has done it."""
    access = (await signed_in(platform, email))["accessToken"]["token"]
    answers = await asyncio.gather(*(sign_out(platform, access) for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [200, 401, 401, 401, 401]


async def test_sign_out_when_expired(platform: Platform, email: str) -> None:
    """An access token whose time is over signs nobody out."""
    body = await signed_in(platform, email)
    platform.clock.advance(36_000 + 61)
    answer = await sign_out(platform, body["accessToken"]["token"])
    assert (answer.status, answer.json()["message"]) == (401, "Invalid or expired access token.")
    assert (await post(platform, REFRESH, refreshToken=body["refreshToken"]["token"])).status == 200
