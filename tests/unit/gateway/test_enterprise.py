"""The enterprise dialect, with what is behind it played by script."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from aiohttp import FormData
from pydantic import SecretStr

from gateway.dialects.enterprise import ELSEWHERE, ERRORS, Enterprise
from shared.bus.messages import Done
from shared.contracts.identity import ChangePassword, RequestPasswordReset, ResetPassword
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
from tests.unit.gateway.edge import SESSION, SOURCE, USER, Edge, open_edge

TOKENS = TokenSet(
    access_token=SecretStr("access"),
    expires_in=86_400,
    issued_at=datetime(2022, 1, 1, tzinfo=UTC),
    refresh_token=SecretStr("refresh"),
    refresh_expires_in=7_776_000,
    session_id=UUID(SESSION),
    id_token=SecretStr("id"),
)
BODY = [("id_token", "id"), ("access_token", "access"), ("refresh_token", "refresh"), ("expires_in", 86_400)]
OLD, NEW = "j8BDWYrQwDF5u4Yu", "b2BDWZrQwDF5u4Yu"
GOOD: dict[str, tuple[dict[str, str], Any]] = {
    "/v1/login": (
        {"username": "admin", "password": OLD},
        SignIn(dialect="enterprise", identifier="admin", password=SecretStr(OLD), source=SOURCE),
    ),
    "/v1/new-password-required": (
        {"session": "s", "username": "admin", "new_password": NEW},
        ContinueSignIn(
            dialect="enterprise",
            kind="new_password",
            token=SecretStr("s"),
            new_password=SecretStr(NEW),
            identifier="admin",
            source=SOURCE,
        ),
    ),
    "/v1/token-refresh": (
        {"username": "admin", "refresh_token": "r"},
        GrantRefreshToken(dialect="enterprise", refresh_token=SecretStr("r"), username="admin"),
    ),
    "/v1/token-revoke": (
        {"refresh_token": "r"},
        EndSession(dialect="enterprise", refresh_token=SecretStr("r")),
    ),
    "/v1/forgot-password": ({"username": "admin"}, RequestPasswordReset(identifier="admin")),
    "/v1/forgot-password-confirm": (
        {"username": "admin", "password": NEW, "confirmation_code": "012345"},
        ResetPassword(identifier="admin", proof=SecretStr("012345"), new_password=SecretStr(NEW), source=SOURCE),
    ),
    "/v1/change-password": (
        {"access_token": "enterprise", "previous_password": OLD, "proposed_password": NEW},
        ChangePassword(user_id=UUID(USER), password=SecretStr(OLD), new_password=SecretStr(NEW)),
    ),
}
paths = pytest.mark.parametrize("path", GOOD)


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    """The dialect; everything behind it succeeds."""
    async with open_edge(Enterprise) as opened:
        opened.answers = {
            SignIn: SignedIn(tokens=TOKENS),
            ContinueSignIn: SignedIn(tokens=TOKENS),
            GrantRefreshToken: TOKENS.model_copy(update={"refresh_token": None, "refresh_expires_in": None}),
            EndSession: SessionEnded(ended=True),
            RequestPasswordReset: Done(),
            ResetPassword: Done(),
            ChangePassword: Done(),
        }
        yield opened


@paths
async def test_success(edge: Edge, path: str) -> None:
    """Each path makes one call, and answers with the seed's keys in the seed's order, or with nothing."""
    body, call = GOOD[path]
    status, answered, headers = await edge.post(path, body)
    assert edge.calls == [call]
    assert headers["Cache-Control"] == "no-store"
    assert headers["Access-Control-Allow-Origin"] == "*"
    if path in {"/v1/login", "/v1/new-password-required"}:
        assert (status, list(answered.items())) == (200, BODY)
    elif path == "/v1/token-refresh":
        assert (status, list(answered.items())) == (200, [pair for pair in BODY if pair[0] != "refresh_token"])
    else:
        assert (status, answered, headers.get("Content-Type")) == (204, "", None)


@pytest.mark.parametrize(
    ("challenge", "body"),
    [
        (
            SignInChallenge(kind="new_password", token=SecretStr("s")),
            {"challenge_name": "NEW_PASSWORD_REQUIRED", "session": "s"},
        ),
        (SignInChallenge(kind="second_factor", factor="email"), {"challenge_name": "EMAIL_OTP"}),
        (SignInChallenge(kind="second_factor", factor="totp"), {"challenge_name": "SOFTWARE_TOKEN_MFA"}),
        # Even if there were a token, there is nowhere to bring it to.
        (
            SignInChallenge(kind="second_factor", factor="totp", token=SecretStr("s")),
            {"challenge_name": "SOFTWARE_TOKEN_MFA"},
        ),
    ],
)
async def test_challenges(edge: Edge, challenge: SignInChallenge, body: dict[str, str]) -> None:
    """A challenge is named, and only a new password can be chosen here."""
    edge.answers[SignIn] = SignedIn(challenge=challenge)
    assert (await edge.post("/v1/login", GOOD["/v1/login"][0]))[:2] == (200, body)


@paths
@pytest.mark.parametrize("code", ErrorCode)
async def test_errors(edge: Edge, path: str, code: ErrorCode) -> None:
    """Whatever goes wrong behind has one answer of the tables, and nothing of its cause is told."""
    body, call = GOOD[path]
    detail = {"reasons": ["too_short", "common"], "min_length": 15, "cause": "secret"}
    edge.answers[type(call)] = Error(code, "a cause that is for engineers", retry_after=41.5, detail=detail)
    status, told, headers = await edge.post(path, body)
    expected, message = ELSEWHERE.get((path, code)) or ERRORS[code]
    message = message.format(reasons="at least 15 characters, not a common one")
    assert told == {"status": status, "message": message}
    assert status == expected
    assert headers.get("Retry-After") == ("42" if status in {429, 503} else None)
    assert headers.get("WWW-Authenticate") == ('Bearer realm="Enterprise"' if status == 401 else None)
    assert headers["Access-Control-Allow-Origin"] == "*"


async def test_revoked_before(edge: Edge) -> None:
    """A refresh token without a live session is told so in the origin's words, without a full stop."""
    edge.answers[EndSession] = SessionEnded(ended=False)
    status, body, _ = await edge.post("/v1/token-revoke", {"refresh_token": "r"})
    assert (status, body) == (401, {"status": 401, "message": "Unauthorized"})


@pytest.mark.parametrize("token", ["expired", "unknown", "backoffice", "abc123", "machine"])
async def test_change_with_another_token(edge: Edge, token: str) -> None:
    """Only a live token of a user of this dialect lets a password be changed; why another one does not is not told."""
    body, _ = GOOD["/v1/change-password"]
    status, told, _ = await edge.post("/v1/change-password", body | {"access_token": token})
    assert (status, told["message"]) == (401, "Incorrect username or password.")
    assert edge.calls == []


@paths
@pytest.mark.parametrize("value", [None, 123456, ["a"], {"a": "b"}, True])
async def test_wrong_fields(edge: Edge, path: str, value: Any) -> None:
    """Fields that are no strings are named, all at once, and nobody is asked."""
    good, _ = GOOD[path]
    status, body, _ = await edge.post(path, dict.fromkeys(good, value))
    told = " ".join(f"{name}: This value should be a string." for name in good)
    assert (status, body) == (422, {"status": 422, "message": told})
    assert edge.calls == []


@pytest.mark.parametrize(
    ("path", "field", "longest"),
    [
        ("/v1/login", "username", 255),
        ("/v1/token-refresh", "username", 255),
        ("/v1/new-password-required", "username", 255),
        ("/v1/new-password-required", "new_password", 256),
        ("/v1/forgot-password", "username", 255),
        ("/v1/forgot-password-confirm", "username", 255),
        ("/v1/forgot-password-confirm", "password", 255),
        ("/v1/forgot-password-confirm", "confirmation_code", 2048),
        ("/v1/change-password", "proposed_password", 256),
    ],
)
async def test_limits(edge: Edge, path: str, field: str, longest: int) -> None:
    """A field may be as long as documented, and no longer."""
    good, _ = GOOD[path]
    assert (await edge.post(path, good | {field: "ä" * longest}))[0] in {200, 204}
    status, body, _ = await edge.post(path, good | {field: "ä" * (longest + 1)})
    assert (status, body["message"]) == (422, f"{field}: This value may have at most {longest} characters.")


@pytest.mark.parametrize(
    ("path", "field"), [("/v1/new-password-required", "new_password"), ("/v1/change-password", "proposed_password")]
)
async def test_short_new_password(edge: Edge, path: str, field: str) -> None:
    """A new password of less than six characters is not even judged."""
    status, body, _ = await edge.post(path, GOOD[path][0] | {field: "12345"})
    assert (status, body["message"]) == (422, f"{field}: This value needs at least 6 characters.")


@pytest.mark.parametrize("length", [256, 1024, 1025, 60_000])
async def test_long_password_at_login(edge: Edge, length: int) -> None:
    """A password as long as one may be elsewhere is judged by whoever keeps passwords, not here."""
    edge.answers[SignIn] = Error(ErrorCode.WRONG_PASSWORD, "no")
    status, body, _ = await edge.post("/v1/login", {"username": "admin", "password": "x" * length})
    assert (status, body["message"]) == (401, "Incorrect username or password.")
    assert len(edge.calls) == 1


@pytest.mark.parametrize("kind", ["form", "multipart"])
@paths
async def test_forms(edge: Edge, path: str, kind: str) -> None:
    """Forms bind as JSON does, multipart ones too."""
    fields, call = GOOD[path]
    data = FormData(fields, default_to_multipart=kind == "multipart")
    async with edge.client.post(path, data=data) as response:
        assert response.status in {200, 204}
        assert edge.calls == [call]


async def test_files(edge: Edge) -> None:
    """A multipart form with a file in it is refused."""
    data = FormData({"username": "admin"}, default_to_multipart=True)
    data.add_field("password", b"j8BDWYrQwDF5u4Yu", filename="password.txt")
    async with edge.client.post("/v1/login", data=data) as response:
        assert (response.status, edge.calls) == (400, [])
        assert await response.json() == {
            "status": 400,
            "message": "Every part of the body must be a named text field.",
        }


async def test_preflight(edge: Edge) -> None:
    """Every page may call, and none with cookies."""
    headers = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"}
    async with edge.client.options("/v1/login", headers=headers) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in response.headers
        assert response.headers["Access-Control-Allow-Methods"] == "GET, POST, OPTIONS, HEAD"
