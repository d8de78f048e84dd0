"""Access tokens as their readers meet them, and their time at the platform's own endpoint."""

import json
from datetime import timedelta
from typing import Any

import jwt
import pytest
from multidict import CIMultiDict

from tests.dialects.running import ISSUER, Platform

pytestmark = pytest.mark.asyncio(loop_scope="module")

EMAIL = {"email": "someone@example.com"}


async def published(platform: Platform) -> jwt.PyJWKSet:
    """The keys as any resource server finds them."""
    return jwt.PyJWKSet.from_json((await platform.send("GET", "/.well-known/jwks.json")).text)


async def verified(platform: Platform, token: str, audience: str = ISSUER) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header and the claims of a token that verifies under a published key."""
    header = jwt.get_unverified_header(token)
    key = (await published(platform))[header["kid"]]
    # Time is left out: the platform's clock is not the machine's.
    claims = jwt.decode(
        token,
        key,
        algorithms=["ES256"],
        issuer=ISSUER,
        audience=audience,
        options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
    )
    return header, claims


async def test_a_users_token(platform: Platform) -> None:
    """A user's token verifies under the published keys and says what RFC 9068 asks for."""
    tokens = await platform.sign_in("someone@example.com", "def56789", scope="read")
    header, claims = await verified(platform, tokens["access_token"])
    assert (header["typ"], header["alg"]) == ("at+jwt", "ES256")
    now = int(platform.clock.now().timestamp())
    [(user_id, session_id)] = await platform.rows(
        "SELECT user_id::text, id::text FROM token.sessions WHERE id::text = $1", claims["sid"]
    )
    jti = claims.pop("jti")
    assert len(jti) == 36
    assert claims == {
        "iss": ISSUER,
        "aud": ISSUER,
        "sub": user_id,
        "client_id": "abc123",
        "iat": now,
        "exp": now + tokens["expires_in"],
        "scope": "read",
        "sid": session_id,
        "auth_time": now,
        "amr": ["pwd"],
    }


async def test_a_clients_token(platform: Platform) -> None:
    """A client's own token has the client as its subject and no session; it names the client's audience."""
    status, body = await platform.token("client_credentials", client_id="machine", client_secret="machine-secret")
    assert (status, "refresh_token" in body) == (200, False)
    _, claims = await verified(platform, body["access_token"], "https://api.example.com")
    assert claims.keys() == {"iss", "aud", "sub", "client_id", "iat", "exp", "jti"}
    assert claims["sub"] == claims["client_id"] == "machine"
    assert claims["aud"] == "https://api.example.com"


async def test_codes_are_told_apart(platform: Platform) -> None:
    """A token that a code was given for says so (`amr`), and a refresh keeps that and when it was."""
    await platform.send_code(email="coded@example.com")
    tokens = await platform.sign_in("coded@example.com", await platform.code_for("coded@example.com"))
    then = int(platform.clock.now().timestamp())
    platform.clock.advance(1000)
    _, body = await platform.token("refresh_token", refresh_token=tokens["refresh_token"])
    _, claims = await verified(platform, body["access_token"])
    assert (claims["amr"], claims["auth_time"], claims["iat"]) == (["otp"], then, then + 1000)


async def test_every_token_is_another(platform: Platform) -> None:
    """No two tokens have the same id."""
    bodies = [(await platform.token("client_credentials"))[1] for _ in range(3)]
    ids = {(await verified(platform, body["access_token"]))[1]["jti"] for body in bodies}
    assert len(ids) == 3


@pytest.mark.parametrize(("after", "status"), [(3600 + 59, 200), (3600 + 60, 401)])
async def test_expiry(platform: Platform, after: int, status: int) -> None:
    """A token is refused once it has expired, with a minute for clocks that disagree, and that is told."""
    token = (await platform.token("client_credentials"))[1]["access_token"]
    platform.clock.advance(after)
    answer = await platform.send("POST", "/otp/send", json=EMAIL, headers={"Authorization": f"Bearer {token}"})
    assert answer.status == status
    if status == 401:
        told = 'error="invalid_token", error_description="The access token provided has expired."'
        assert answer.headers["WWW-Authenticate"] == f'Bearer realm="Service", {told}'
        assert json.loads(answer.text)["error_description"] == "The access token provided has expired."


async def test_from_the_future(platform: Platform) -> None:
    """A token that says that it was issued tomorrow is refused."""
    token = (await platform.token("client_credentials"))[1]["access_token"]
    platform.clock.advance(-timedelta(days=1).total_seconds())
    try:
        answer = await platform.send("POST", "/otp/send", json=EMAIL, headers={"Authorization": f"Bearer {token}"})
    finally:
        platform.clock.advance(timedelta(days=1).total_seconds())
    assert answer.status == 401


async def test_two_authorization_headers(platform: Platform) -> None:
    """A request with two of them is refused, since whoever stands in front may have read the other one."""
    token = (await platform.token("client_credentials"))[1]["access_token"]
    twice = CIMultiDict([("Authorization", f"Bearer {token}"), ("Authorization", "Bearer other")])
    answer = await platform.send("POST", "/otp/send", json=EMAIL, headers=twice)
    assert answer.status == 401
