"""Revocations in PostgreSQL: what is recorded, told, answered and deleted."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4  # noqa: TID251 - tests need fresh ids only

import pytest
from pydantic import SecretStr

from services.token.repository.revocations import RevocationRepository
from shared.contracts.identity import PasswordChanged, UserDeleted, UserSuspended
from shared.contracts.token import (
    GetRevocations,
    Introspection,
    IntrospectToken,
    Revocation,
    Revoke,
    RevokeToken,
    TokenSet,
    WithdrawClientSecrets,
)
from shared.errors import Error, ErrorCode
from shared.postgres import Database
from tests.integration.token.conftest import CLIENT, SECRET, Platform, Token, refresh_token

PROOF = {"client_id": CLIENT, "client_secret": SecretStr(SECRET)}
LIFE = timedelta(days=1, minutes=5)


async def snapshot(token: Token) -> list[Revocation]:
    """What a gateway begins with."""
    return (await token.neighbours["gateway"].call(GetRevocations())).revocations


async def introspected(token: Token, text: str) -> Introspection:
    """What introspection says."""
    return await token.neighbours["gateway"].call(IntrospectToken(**PROOF, token=SecretStr(text)))


async def told(token: Token) -> list[tuple[str, str, str]]:
    """Kind, what it names and the reason of each event about an end."""
    rows = await token.platform.database.fetch("SELECT body FROM token.outbox ORDER BY position")
    bodies: list[dict[str, Any]] = [json.loads(row["body"]) for row in rows]
    return [(body.get("kind", "session"), body.get("value") or body["session_id"], body["reason"]) for body in bodies]


def access(held: TokenSet) -> str:
    """The access token as the client keeps it."""
    return held.access_token.get_secret_value()


async def test_a_session_is_recorded_and_told(token: Token) -> None:
    """Revoking a refresh token leaves one revocation, which lives as long as a token could, and one event."""
    held = await token.sign_in()
    call = RevokeToken(**PROOF, token=SecretStr(refresh_token(held)))
    first, again = [(await token.neighbours["gateway"].call(call)).revocations for _ in range(2)]
    [entry] = await snapshot(token)
    assert (first, again) == ([entry], [])
    assert (entry.kind, entry.value, entry.issued_before) == ("session", str(held.session_id), None)
    assert entry.expires_at == token.platform.clock.now() + LIFE
    assert await told(token) == [("session", str(held.session_id), "revoked")]
    assert await introspected(token, access(held)) == Introspection(active=False)


async def test_a_token_is_recorded_and_told(token: Token) -> None:
    """Revoking an access token names it alone, once, however often it is asked for."""
    held = await token.client_credentials()
    jti = (await token.claims(held))["jti"]
    call = RevokeToken(**PROOF, token=SecretStr(access(held)))
    first, *again = [(await token.neighbours["gateway"].call(call)).revocations for _ in range(3)]
    assert (first, again) == (await snapshot(token), [[], []])
    assert [(entry.kind, entry.value) for entry in await snapshot(token)] == [("token", jti)]
    assert await told(token) == [("token", jti, "revoked")]


@pytest.mark.parametrize(
    ("event", "moment", "reason"),
    [
        (UserSuspended, "suspended_at", "user_suspended"),
        (UserDeleted, "deleted_at", "user_deleted"),
        (PasswordChanged, "changed_at", "password_changed"),
    ],
)
async def test_identitys_events_revoke(token: Token, event: Any, moment: str, reason: str) -> None:
    """What happens to a user ends sessions and tokens, and all of it is told with the reason."""
    held = await token.sign_in()
    user_id = token.platform.identity.user_id
    await token.tell(event.model_validate({"user_id": user_id, moment: token.platform.clock.now()}))
    assert {(entry.kind, entry.value) for entry in await snapshot(token)} == {
        ("user", str(user_id)),
        ("session", str(held.session_id)),
    }
    assert sorted(await told(token)) == [
        ("session", str(held.session_id), reason),
        ("user", str(user_id), reason),
    ]
    assert not (await introspected(token, access(held))).active
    assert not (await introspected(token, refresh_token(held))).active


@pytest.mark.parametrize("kind", ["token", "session", "user", "client"])
async def test_an_operator_revokes(token: Token, kind: str) -> None:
    """Whatever an operator names is inactive at once; what is granted a second later is good."""
    held = await token.sign_in()
    claims = await token.claims(held)
    value = claims[{"token": "jti", "session": "sid", "user": "sub", "client": "client_id"}[kind]]
    await token.neighbours["operator"].call(Revoke.model_validate({"kind": kind, "value": value}))
    assert not (await introspected(token, access(held))).active
    assert (kind, value, "operator") in await told(token)
    token.platform.clock.advance(1)
    assert (await introspected(token, access(await token.sign_in()))).active


@pytest.mark.parametrize("kind", ["session", "user"])
async def test_an_operator_who_mistypes_is_told(token: Token, kind: str) -> None:
    """A session or user that can be none is refused, and nothing is recorded."""
    with pytest.raises(Error) as refused:
        await token.neighbours["operator"].call(Revoke.model_validate({"kind": kind, "value": "someone"}))
    assert (refused.value.code, refused.value.detail) == (ErrorCode.INVALID_REQUEST, {"field": "value"})
    assert await snapshot(token) == []


async def test_unknown_things_are_no_error(token: Token) -> None:
    """A session that does not exist ends nothing and is told to nobody."""
    await token.neighbours["operator"].call(Revoke(kind="session", value=str(uuid4())))
    assert await snapshot(token) == []
    assert await told(token) == []


async def test_withdrawn_secrets(token: Token) -> None:
    """Withdrawing a client's old secrets ends them and all that it was given; the newest goes on."""
    held = await token.client_credentials()
    new = (await token.rotate()).client_secret
    assert new is not None
    token.platform.clock.advance(1)
    await token.neighbours["operator"].call(WithdrawClientSecrets(client_id=CLIENT))
    assert [(entry.kind, entry.value) for entry in await snapshot(token)] == [("client", CLIENT)]
    assert await told(token) == [("client", CLIENT, "secret_withdrawn")]
    with pytest.raises(Error) as refused:
        await token.client_credentials()
    assert refused.value.code == ErrorCode.INVALID_CLIENT
    token.platform.clock.advance(1)
    fresh = await token.client_credentials(secret=new.get_secret_value())
    asked = {"client_id": CLIENT, "client_secret": new}
    for granted, active in ((held, False), (fresh, True)):
        call = IntrospectToken(**asked, token=SecretStr(access(granted)))
        assert (await token.neighbours["gateway"].call(call)).active is active


async def test_withdrawing_from_nobody(token: Token) -> None:
    """A client that does not exist is told so."""
    with pytest.raises(Error) as refused:
        await token.neighbours["operator"].call(WithdrawClientSecrets(client_id="nobody"))
    assert refused.value.code == ErrorCode.NOT_FOUND


async def test_another_issuers_token(platform: Platform) -> None:
    """A token signed by our key in another name is not active."""
    async with platform.running(issuer="https://elsewhere.example.com") as elsewhere:
        await elsewhere.create_client()
        foreign = await elsewhere.client_credentials()
        assert (await introspected(elsewhere, access(foreign))).active
    async with platform.running() as token:
        assert not (await introspected(token, access(foreign))).active


async def test_expired_revocations_go(token: Token, postgres_url: str) -> None:
    """A revocation is in the snapshot until nothing that it names can be alive, and is deleted then."""
    held = await token.sign_in()
    await token.neighbours["operator"].call(Revoke(kind="session", value=str(held.session_id)))
    token.platform.clock.advance(LIFE.total_seconds() - 1)
    other = UUID(int=1)
    await token.neighbours["operator"].call(Revoke(kind="user", value=str(other)))
    assert len(await snapshot(token)) == 2
    token.platform.clock.advance(2)
    assert [entry.value for entry in await snapshot(token)] == [str(other)]
    async with Database(postgres_url, name="token", max_size=1) as database:
        kept = RevocationRepository(database, LIFE)
        assert await kept.delete_expired(token.platform.clock.now(), 500) == 1
        assert await kept.delete_expired(token.platform.clock.now(), 500) == 0
    assert await token.platform.database.fetchval("SELECT value FROM token.revocations") == str(other)
