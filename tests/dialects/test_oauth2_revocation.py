"""What ends a token at the `oauth2` dialect, and who is told of it."""

import json
from typing import Any
from uuid import uuid4  # noqa: TID251 - tests need fresh ids only

import jwt
import pytest
import pytest_asyncio
from pydantic import SecretStr

from shared.bus.frames import EventFrame
from shared.bus.memory import MemoryBus
from shared.contracts.identity import CreateUser, DeleteUser, PasswordChanged, SuspendUser, User
from shared.contracts.token import Revoke, RotateClientSecret, WithdrawClientSecrets
from shared.telemetry import Telemetry
from tests.dialects.running import Answer, Platform
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 5.0
OWN = {"client_id": "abc123", "client_secret": "456789"}
OTHER = {"client_id": "other", "client_secret": "other-secret"}
INACTIVE = {"active": False}
Tokens = dict[str, Any]


async def introspected(platform: Platform, token: str, client: dict[str, str] = OWN) -> dict[str, Any]:
    """What introspection says."""
    answer = await platform.send("POST", "/oauth/v2/introspect", data=client | {"token": token})
    assert answer.status == 200, answer
    said: dict[str, Any] = json.loads(answer.text)
    return said


async def revoke(platform: Platform, token: str, client: dict[str, str] = OWN, **more: str) -> None:
    """Revoke a token, which always succeeds."""
    answer = await platform.send("POST", "/oauth/v2/revoke", data=client | {"token": token} | more)
    assert (answer.status, answer.text) == (200, "{}")


async def used(platform: Platform, token: str) -> Answer:
    """POST /otp/send with an access token."""
    body = {"email": "someone@example.com"}
    return await platform.send("POST", "/otp/send", json=body, headers={"Authorization": f"Bearer {token}"})


async def refused(platform: Platform, token: str) -> None:
    """Return once the token is refused, wherever one asks."""

    async def look() -> Answer | None:
        answer = await used(platform, token)
        assert answer.status in {200, 401}, answer
        return answer if answer.status == 401 else None

    answer = await eventually(look, SECONDS, "the token is refused")
    assert await introspected(platform, token) == INACTIVE
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


async def accepted(platform: Platform, token: str) -> None:
    """The token is good, wherever one asks."""
    assert (await introspected(platform, token))["active"] is True
    assert (await used(platform, token)).status == 200


async def recorded(platform: Platform) -> int:
    """How many revocations there are."""
    [(count,)] = await platform.rows("SELECT count(*) FROM token.revocations")
    return int(count)


def claims(tokens: Tokens) -> dict[str, Any]:
    """What an access token says."""
    said: dict[str, Any] = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    return said


@pytest_asyncio.fixture(loop_scope="module")
async def user(platform: Platform) -> User:
    """A user of the test's own."""
    made: User = await platform.operate(
        CreateUser(email=f"{uuid4()}@example.com", password=SecretStr("def56789"), enforce_policy=False)
    )
    return made


@pytest_asyncio.fixture(loop_scope="module")
async def tokens(platform: Platform, user: User) -> Tokens:
    """The user's tokens."""
    return await signed_in(platform, user)


async def signed_in(platform: Platform, user: User, **client: str) -> Tokens:
    """Another session of the user."""
    return await platform.sign_in(str(user.email), "def56789", **client)


async def test_a_refresh_token_takes_everything_along(platform: Platform, user: User, tokens: Tokens) -> None:
    """Revoking the newest refresh token ends the session and every access token that it gave, the first one too."""
    bystander = await signed_in(platform, user)
    _, later = await platform.token("refresh_token", refresh_token=tokens["refresh_token"])
    for each in (tokens, later, bystander):
        await accepted(platform, each["access_token"])
    await revoke(platform, later["refresh_token"])
    for each in (tokens, later):
        await refused(platform, each["access_token"])
    status, _ = await platform.token("refresh_token", refresh_token=later["refresh_token"])
    assert status == 400
    await accepted(platform, bystander["access_token"])


async def test_an_access_token_goes_alone(platform: Platform, tokens: Tokens) -> None:
    """Revoking an access token ends only that one: the session goes on, and so do its other tokens."""
    _, later = await platform.token("refresh_token", refresh_token=tokens["refresh_token"])
    await revoke(platform, tokens["access_token"], token_type_hint="refresh_token")
    await refused(platform, tokens["access_token"])
    await accepted(platform, later["access_token"])
    status, _ = await platform.token("refresh_token", refresh_token=later["refresh_token"])
    assert status == 200


async def test_revoking_again_adds_nothing(platform: Platform, tokens: Tokens) -> None:
    """Who revokes the same token a hundred times fills no table."""
    await revoke(platform, tokens["access_token"])
    before = await recorded(platform)
    for _ in range(3):
        await revoke(platform, tokens["access_token"])
    assert await recorded(platform) == before


@pytest.mark.parametrize("wrong", ["unknown", "malformed", "expired", "another client's", "their refresh token"])
async def test_what_is_not_the_clients_stays(platform: Platform, tokens: Tokens, wrong: str) -> None:
    """A token that is unknown, malformed, expired or another client's is no error, and nothing changes."""
    before = await recorded(platform)
    token, client = tokens["access_token"], OWN
    match wrong:
        case "unknown":
            token = "NmI5ZGI3MzBmZjYwY2E1ZTlkYTM4MTJlMmI1Z"
        case "malformed":
            token = f"{token[:-2]}é\x7f.{{}}"
        case "expired":
            platform.clock.advance(3600)
        case "another client's":
            client = OTHER
        case _:
            token, client = tokens["refresh_token"], OTHER
    await revoke(platform, token, client)
    assert await recorded(platform) == before
    status, _ = await platform.token("refresh_token", refresh_token=tokens["refresh_token"])
    assert status == 200
    if wrong != "expired":
        await accepted(platform, tokens["access_token"])


async def test_introspecting_a_users_token(platform: Platform, user: User) -> None:
    """An active access token says all that is in it, to any client; a refresh token only to its own."""
    tokens = await signed_in(platform, user, scope="read")
    inside = claims(tokens)
    for client in (OWN, OTHER):
        said = await introspected(platform, tokens["access_token"], client)
        assert said == {"active": True, **inside, "token_type": "bearer"}
    assert (inside["sub"], inside["scope"]) == (str(user.id), "read")
    now = int(platform.clock.now().timestamp())
    assert await introspected(platform, tokens["refresh_token"]) == {
        "active": True,
        "iss": inside["iss"],
        "sub": inside["sub"],
        "client_id": "abc123",
        "sid": inside["sid"],
        "exp": now + 14 * 86_400,
        "iat": now,
        "scope": "read",
    }
    assert await introspected(platform, tokens["refresh_token"], OTHER) == INACTIVE


async def test_introspecting_what_has_passed(platform: Platform, tokens: Tokens) -> None:
    """A used refresh token, an expired access token and an expired refresh token are not active, and nothing more."""
    _, later = await platform.token("refresh_token", refresh_token=tokens["refresh_token"])
    assert await introspected(platform, tokens["refresh_token"]) == INACTIVE
    platform.clock.advance(3600)
    assert await introspected(platform, later["access_token"]) == INACTIVE
    assert (await introspected(platform, later["refresh_token"]))["active"] is True
    platform.clock.advance(14 * 86_400)
    try:
        assert await introspected(platform, later["refresh_token"]) == INACTIVE
    finally:
        platform.clock.advance(-14 * 86_400)  # Redis keeps its own time, by which the stream is trimmed


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_userinfo(platform: Platform, user: User, tokens: Tokens, method: str) -> None:
    """A user's token tells who that is, until it is revoked, by both methods (OpenID Connect Core §5.3.1)."""
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    answer = await platform.send(method, "/oauth/v2/userinfo", headers=headers)
    assert (answer.status, json.loads(answer.text)) == (200, {"sub": str(user.id), "email": user.email})
    await revoke(platform, tokens["access_token"])
    await refused(platform, tokens["access_token"])
    answer = await platform.send(method, "/oauth/v2/userinfo", headers=headers)
    assert answer.status == 401
    told = 'error="invalid_token", error_description="The access token provided is invalid."'
    assert answer.headers["WWW-Authenticate"] == f'Bearer realm="Service", {told}'


async def test_suspended_and_deleted_users(platform: Platform, user: User, tokens: Tokens) -> None:
    """The tokens of a user who is suspended, and then deleted, are refused."""
    await platform.operate(SuspendUser(identifier=str(user.email)))
    await ended(platform, user, "user_suspended")
    await refused(platform, tokens["access_token"])
    await platform.operate(DeleteUser(identifier=str(user.email)))
    await ended(platform, user, "user_deleted")


async def test_deleted_user(platform: Platform, user: User, tokens: Tokens) -> None:
    """The tokens of a deleted user are refused, and who signs up with that address anew is somebody else."""
    await platform.operate(DeleteUser(identifier=str(user.email)))
    await ended(platform, user, "user_deleted")
    await refused(platform, tokens["access_token"])
    again = await platform.operate(CreateUser(email=user.email, password=SecretStr("def56789"), enforce_policy=False))
    await accepted(platform, (await signed_in(platform, again))["access_token"])


async def test_changed_password(platform: Platform, user: User, tokens: Tokens) -> None:
    """A changed password ends what the old one began; who signs in with the new one in the same second gets in."""
    platform.clock.advance(0.001)
    event = PasswordChanged(user_id=user.id, changed_at=platform.clock.now())
    bus = MemoryBus(platform.broker, "identity", Telemetry("identity"), platform.clock)
    await bus.publish(EventFrame(uuid4(), event.subject, event.model_dump_json().encode(), "test"))
    platform.clock.advance(0.001)
    new = await signed_in(platform, user)
    await ended(platform, user, "password_changed")
    await refused(platform, tokens["access_token"])
    await accepted(platform, new["access_token"])


async def test_withdrawn_client_secrets(platform: Platform, user: User) -> None:
    """When a client's old secrets are withdrawn, all that it was given is void; with the new one it starts afresh."""
    client = {"client_id": "other", "client_secret": "other-secret"}
    own = (await platform.token("client_credentials", **client))[1]["access_token"]
    users = (await signed_in(platform, user, **client))["access_token"]
    platform.clock.advance(1)
    new = (await platform.operate(RotateClientSecret(client_id="other"))).client_secret.get_secret_value()
    await accepted(platform, own)
    platform.clock.advance(1)
    left = await platform.operate(WithdrawClientSecrets(client_id="other"))
    assert len(left.secrets) == 1
    for token in (own, users):
        await refused(platform, token)
    status, _ = await platform.token("client_credentials", **client)
    assert status == 401
    platform.clock.advance(1)
    _, fresh = await platform.token("client_credentials", client_id="other", client_secret=new)
    await accepted(platform, fresh["access_token"])


@pytest.mark.parametrize("kind", ["token", "session", "user", "client"])
async def test_an_operator_revokes(platform: Platform, user: User, tokens: Tokens, kind: str) -> None:
    """What an operator names is refused at once."""
    said = claims(tokens)
    value = said[{"token": "jti", "session": "sid", "user": "sub", "client": "client_id"}[kind]]
    await platform.operate(Revoke.model_validate({"kind": kind, "value": value}))
    await refused(platform, tokens["access_token"])
    platform.clock.advance(1)
    await accepted(platform, (await signed_in(platform, user))["access_token"])


async def ended(platform: Platform, user: User, reason: str) -> None:
    """Return once the user's tokens were revoked for this reason."""
    query = "SELECT 1 FROM token.revocations WHERE kind = 'user' AND value = $1 AND reason = $2"

    async def look() -> list[Any] | None:
        return await platform.rows(query, str(user.id), reason) or None

    await eventually(look, SECONDS, f"the user's tokens end: {reason}")
