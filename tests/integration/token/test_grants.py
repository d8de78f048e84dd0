"""The three grants: what they yield, what they check and in which order."""

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest

from shared.errors import Error, ErrorCode
from tests.integration.token.conftest import (
    CLIENT,
    ISSUER,
    MUST_CHANGE,
    PASSWORD,
    SECRET,
    USERNAME,
    Platform,
    Token,
    outcome,
)


async def test_client_credentials(token: Token) -> None:
    """A client gets an access token for itself that the published key verifies, no scope unasked, no refresh token."""
    granted = await token.client_credentials()
    assert (granted.expires_in, granted.scope, granted.refresh_token, granted.session_id) == (3600, None, None, None)
    claims = await token.claims(granted)
    issued = int(token.platform.clock.now().timestamp())
    assert set(claims) == {"iss", "sub", "aud", "client_id", "iat", "exp", "jti"}
    assert (claims["sub"], claims["client_id"], claims["aud"]) == (CLIENT, CLIENT, ISSUER)
    assert (claims["iat"], claims["exp"]) == (issued, issued + 3600)
    again = await token.claims(await token.client_credentials())
    assert again["jti"] != claims["jti"]


async def test_password(token: Token) -> None:
    """A user whom identity recognises gets both tokens; the access token names user, session and how they signed in."""
    granted = await token.sign_in(scope="write read")
    claims = await token.claims(granted)
    assert claims["sub"] == str(token.platform.identity.user_id)
    assert claims["sid"] == str(granted.session_id)
    assert (claims["amr"], claims["auth_time"], claims["scope"]) == (["pwd"], claims["iat"], "write read")
    assert (granted.scope, granted.refresh_expires_in) == ("write read", 14 * 86_400)


async def test_audiences(platform: Platform) -> None:
    """A token is for its client's audiences, else for the platform's, else for the issuer."""
    async with platform.running(audience="https://api.example.com") as token:
        await token.create_client()
        await token.create_client("shop", audiences=["https://a.example.com", "https://b.example.com"])
        default = await token.claims(await token.client_credentials())
        named = await token.claims(await token.client_credentials("shop"))
    assert default["aud"] == "https://api.example.com"
    assert named["aud"] == ["https://a.example.com", "https://b.example.com"]


@pytest.mark.parametrize(
    ("client", "secret", "reason"),
    [
        (None, SECRET, "missing_id"),
        ("", SECRET, "missing_id"),
        (CLIENT, None, "missing_secret"),
        (CLIENT, "", "missing_secret"),
        (CLIENT, "456788", "wrong"),
        (CLIENT, "456789\0", "wrong"),
        ("nobody", SECRET, "wrong"),
        ("nobody", None, "wrong"),
        ("abc\0123", SECRET, "wrong"),
        ("x" * 10_000, SECRET, "wrong"),
        ("ABC123", SECRET, "wrong"),
    ],
)
async def test_client_not_authenticated(token: Token, client: str | None, secret: str | None, reason: str) -> None:
    """A client that is not who it says gets `invalid_client` with the reason, and never an internal failure."""
    with pytest.raises(Error) as caught:
        await token.client_credentials(client, secret)
    assert (caught.value.code, caught.value.detail) == (ErrorCode.INVALID_CLIENT, {"reason": reason})


async def test_missing_secret_of_other_grants(token: Token) -> None:
    """Without a secret the other grants say that the credentials are wrong, as the origin does."""
    for asked in (token.sign_in(secret=None), token.refresh("anything", secret=None)):
        with pytest.raises(Error) as caught:
            await asked
        assert (caught.value.code, caught.value.detail) == (ErrorCode.INVALID_CLIENT, {"reason": "wrong"})


async def test_order_of_checks(token: Token) -> None:
    """Client first, then the grant, its parameters, the proof and at last the scope; each mistake hides the later."""
    await token.create_client("m2m", grants=["client_credentials"])
    asked = token.platform.identity.asked
    assert await outcome(token.sign_in(None, None, client="m2m", secret="wrong", scope="no")) == "invalid_client"
    assert await outcome(token.sign_in(None, None, client="m2m", scope="no")) == "unauthorized_client"
    assert await outcome(token.sign_in(None, scope="no")) == "invalid_request"
    assert await outcome(token.sign_in("", scope="no")) == "invalid_request"
    assert await outcome(token.sign_in(password="", scope="no")) == "invalid_request"
    assert await outcome(token.sign_in(password=None, scope="no")) == "invalid_request"
    assert asked == []
    assert await outcome(token.sign_in(password="wrong", scope="no")) == "wrong_password"
    assert await outcome(token.sign_in(scope="no")) == "invalid_scope"
    assert asked == [USERNAME, USERNAME]


async def test_order_of_checks_of_a_refresh(token: Token) -> None:
    """The same order for refresh tokens: client, grant, parameter, token, scope."""
    await token.create_client("m2m", grants=["client_credentials"])
    held = await token.sign_in()
    assert await outcome(token.refresh(None, client="m2m", secret="wrong", scope="no")) == "invalid_client"
    assert await outcome(token.refresh(None, client="m2m", scope="no")) == "unauthorized_client"
    assert await outcome(token.refresh(None, scope="no")) == "invalid_request"
    assert await outcome(token.refresh("", scope="no")) == "invalid_request"
    assert await outcome(token.refresh("nonsense", scope="no")) == "session_unknown"
    assert await outcome(token.refresh(held, scope="no")) == "invalid_scope"


async def test_refused_sign_in_leaves_nothing(token: Token) -> None:
    """Neither a wrong password, a scope too many nor a due password change begins a session."""
    assert await outcome(token.sign_in(password="wrong")) == "wrong_password"
    assert await outcome(token.sign_in(scope="admin")) == "invalid_scope"
    assert await outcome(token.sign_in(MUST_CHANGE)) == "password_change_required"
    assert await token.platform.database.fetchval("SELECT count(*) FROM token.sessions") == 0


async def test_signed_in_twice(token: Token) -> None:
    """Signing in on a second device is a second session."""
    first, second = await token.sign_in(), await token.sign_in()
    assert first.session_id != second.session_id
    assert await outcome(token.refresh(first)) == await outcome(token.refresh(second)) == "ok"


async def test_nothing_readable_of_a_refresh_token_is_kept(token: Token) -> None:
    """The sessions table does not hold the refresh token that was given out."""
    granted = await token.sign_in()
    assert granted.refresh_token is not None
    rows = await token.platform.database.fetch("SELECT s::text AS row FROM token.sessions s")
    assert len(rows) == 1
    assert granted.refresh_token.get_secret_value() not in rows[0]["row"]


async def test_identity_away(platform: Platform) -> None:
    """Without identity nobody signs in, at once and told so, while clients and refresh tokens go on."""
    async with platform.running() as token:
        await token.create_client()
        held = await token.sign_in()
    async with platform.running(with_identity=False) as token:
        assert await outcome(token.sign_in()) == "unavailable"
        assert await outcome(token.refresh(held)) == "ok"
        assert await outcome(token.client_credentials()) == "ok"


async def test_database_away(platform: Platform) -> None:
    """Without PostgreSQL every call is `unavailable` with a time to come back, and readiness says so."""
    away = replace(platform, settings=platform.settings | {"DRAGOMAN_POSTGRES_URL": "postgresql://u:p@127.0.0.1:1/x"})
    async with away.running() as token:
        outcomes = await asyncio.gather(
            *(token.client_credentials(), token.sign_in(), token.refresh("x"), token.create_client()),
            return_exceptions=True,
        )
        assert [error.code for error in outcomes if isinstance(error, Error)] == [ErrorCode.UNAVAILABLE] * 4
        assert all(error.retry_after for error in outcomes if isinstance(error, Error))
        assert "unavailable" in (await token.kit.health.report())["postgres"]


async def test_ids_of_users_and_sessions(token: Token) -> None:
    """Two users who sign in with the same client have sessions of their own."""
    users = [UUID(int=n) for n in (1, 2)]
    granted = [await token.sign_in(f"{user}@example.com", PASSWORD) for user in users]
    assert [(await token.claims(one))["sub"] for one in granted] == [str(user) for user in users]
