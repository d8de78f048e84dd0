"""The backoffice dialect, with what is behind it played by script."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from gateway.dialects.backoffice import ERRORS, REFUSALS, BackOffice
from shared.contracts.token import (
    ContinueSignIn,
    EndSession,
    GrantRefreshToken,
    SessionEnded,
    SignedIn,
    SignIn,
    SignInChallenge,
    TokenSet,
)
from shared.errors import Error, ErrorCode
from tests.unit.gateway.edge import SESSION, SOURCE, Edge, open_edge

CHALLENGE = "b2fcf999-2b0b-451d-9888-094a79117aa5"
MOMENT = datetime(2022, 1, 1, 1, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=1)))
TOKENS = TokenSet(
    access_token=SecretStr("access"),
    expires_in=36_000,
    issued_at=MOMENT,
    refresh_token=SecretStr("refresh"),
    refresh_expires_in=2_592_000,
    session_id=UUID(SESSION),
    scope="read",
    id_token=SecretStr("id"),
)
PAIR = {
    "accessToken": {
        "token": "access",
        "createdAt": "2022-01-01T00:00:00+00:00",
        "expiresAt": "2022-01-01T10:00:00+00:00",
    },
    "refreshToken": {
        "token": "refresh",
        "createdAt": "2022-01-01T00:00:00+00:00",
        "expiresAt": "2022-01-31T00:00:00+00:00",
    },
}
GOOD: dict[str, tuple[dict[str, str] | None, type[Any]]] = {
    "/api/v2/signin": ({"email": "foo@bar.com", "password": "Secret123"}, SignIn),
    "/api/v2/2fa/confirm": ({"token": CHALLENGE, "code": "012345"}, ContinueSignIn),
    "/api/v2/refresh": ({"refreshToken": "refresh"}, GrantRefreshToken),
    "/api/v2/signout": (None, EndSession),
}


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    """The dialect."""
    async with open_edge(BackOffice) as opened:
        yield opened


async def test_sign_in(edge: Edge) -> None:
    """Who signs in gets tokens with their times in whole seconds of UTC, and nothing else."""
    edge.answers[SignIn] = SignedIn(tokens=TOKENS)
    status, body, headers = await edge.post("/api/v2/signin", GOOD["/api/v2/signin"][0])
    assert (status, list(body.items())) == (200, list({"2faRequired": False, **PAIR}.items()))
    assert headers["Cache-Control"] == "no-store"
    password = SecretStr("Secret123")
    assert edge.calls == [SignIn(dialect="backoffice", identifier="foo@bar.com", password=password, source=SOURCE)]


@pytest.mark.parametrize("factor", ["email", "totp"])
async def test_second_factor(edge: Edge, factor: Any) -> None:
    """Who has a second factor is told which one it is and until when it may be proved."""
    expires_at = datetime(2022, 1, 1, 0, 3, 0, 5, tzinfo=UTC)
    challenge = SignInChallenge(kind="second_factor", token=SecretStr(CHALLENGE), factor=factor, expires_at=expires_at)
    edge.answers[SignIn] = SignedIn(challenge=challenge)
    status, body, _ = await edge.post("/api/v2/signin", GOOD["/api/v2/signin"][0])
    assert status == 200
    assert list(body.items()) == [
        ("2faRequired", True),
        ("2faDetails", {"token": CHALLENGE, "provider": factor, "expiresAt": "2022-01-01T00:03:00+00:00"}),
    ]


async def test_confirm(edge: Edge) -> None:
    """Who proves the second factor gets tokens, without `2faRequired`; leading zeros stay."""
    edge.answers[ContinueSignIn] = SignedIn(tokens=TOKENS)
    status, body, _ = await edge.post("/api/v2/2fa/confirm", GOOD["/api/v2/2fa/confirm"][0])
    assert (status, body) == (200, PAIR)
    assert edge.calls == [
        ContinueSignIn(
            dialect="backoffice",
            kind="second_factor",
            token=SecretStr(CHALLENGE),
            code=SecretStr("012345"),
            source=SOURCE,
        )
    ]


@pytest.mark.parametrize("token", ["b2fcf999", f"{CHALLENGE}0", "ä", "x" * 60_000])
async def test_no_challenge(edge: Edge, token: str) -> None:
    """What is no token of a challenge is refused like one that is spent, and asks nobody."""
    status, body, _ = await edge.post("/api/v2/2fa/confirm", {"token": token, "code": "123456"})
    assert (status, body["message"]) == (401, REFUSALS["/api/v2/2fa/confirm"])
    assert edge.calls == []


async def test_refresh(edge: Edge) -> None:
    """A refresh yields a new pair."""
    edge.answers[GrantRefreshToken] = TOKENS
    assert (await edge.post("/api/v2/refresh", {"refreshToken": "old"}))[:2] == (200, PAIR)
    assert edge.calls == [GrantRefreshToken(dialect="backoffice", refresh_token=SecretStr("old"))]


async def test_sign_out(edge: Edge) -> None:
    """Signing out ends the token's session; the body is not looked at."""
    edge.answers[EndSession] = SessionEnded(ended=True)
    status, body, _ = await edge.post("/api/v2/signout", ["anything"], Authorization="Bearer backoffice")
    assert (status, body) == (200, {})
    assert edge.calls == [EndSession(dialect="backoffice", session_id=UUID(SESSION))]


async def test_sign_out_twice(edge: Edge) -> None:
    """A session that has ended already is a 401, although its access token still looks good here."""
    edge.answers[EndSession] = SessionEnded(ended=False)
    status, body, headers = await edge.post("/api/v2/signout", Authorization="Bearer backoffice")
    assert (status, body["message"]) == (401, REFUSALS["/api/v2/signout"])
    assert headers["WWW-Authenticate"] == 'Bearer realm="Back Office", error="invalid_token"'


@pytest.mark.parametrize("token", ["expired", "unknown", "enterprise", "abc123", "machine"])
async def test_sign_out_with_another_token(edge: Edge, token: str) -> None:
    """Only a user's token of this dialect ends a session here."""
    status, _, headers = await edge.post("/api/v2/signout", Authorization=f"Bearer {token}")
    assert (status, headers["WWW-Authenticate"]) == (401, 'Bearer realm="Back Office", error="invalid_token"')
    assert edge.calls == []


@pytest.mark.parametrize("authorization", [None, "Basic YTpi", "null", ""])
async def test_sign_out_without_a_token(edge: Edge, authorization: str | None) -> None:
    """A request without a token is told so without an error code (RFC 6750 §3.1)."""
    headers = {} if authorization is None else {"Authorization": authorization}
    status, body, answered = await edge.post("/api/v2/signout", **headers)
    assert (status, body["code"]) == (401, 401)
    assert answered["WWW-Authenticate"] == 'Bearer realm="Back Office"'


@pytest.mark.parametrize("path", GOOD)
@pytest.mark.parametrize("code", ErrorCode)
async def test_errors(edge: Edge, path: str, code: ErrorCode) -> None:
    """Whatever goes wrong behind has one answer of the table, and nothing of its cause is told."""
    body, call = GOOD[path]
    edge.answers[call] = Error(code, "a cause that is for engineers", retry_after=41.5, detail={"cause": "secret"})
    status, told, headers = await edge.post(path, body, Authorization="Bearer backoffice")
    assert status == ERRORS[code][0]
    message = REFUSALS[path] if status == 401 else ERRORS[code][1]
    assert told == {"code": status, "message": message, "errors": {}}
    assert headers.get("Retry-After") == ("42" if status in {429, 503} else None)
    assert ("WWW-Authenticate" in headers) == (status == 401)
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", list(GOOD)[:3])
@pytest.mark.parametrize("value", [None, 123456, ["a"], {"a": "b"}, True, ""])
async def test_wrong_fields(edge: Edge, path: str, value: Any) -> None:
    """Fields that are no strings are named, all at once, and nobody is asked."""
    good, _ = GOOD[path]
    assert good is not None
    status, body, _ = await edge.post(path, dict.fromkeys(good, value))
    assert (status, body["code"], list(body["errors"])) == (422, 422, list(good))
    assert edge.calls == []


@pytest.mark.parametrize("label", ["text/plain", "application/x-www-form-urlencoded", "application/json", "x/y", ""])
async def test_labels(edge: Edge, label: str) -> None:
    """JSON is read as JSON whatever a client calls it; curl calls it a form."""
    edge.answers[SignIn] = SignedIn(tokens=TOKENS)
    data = b'\n{"email": "foo@bar.com", "password": "Secret123"}'
    async with edge.client.post("/api/v2/signin", data=data, headers={"Content-Type": label}) as response:
        assert response.status == 200
