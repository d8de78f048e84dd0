"""Sessions of different dialects side by side: apart where tokens are presented, alike where they end."""

import asyncio
import itertools
import json
from typing import Any
from uuid import uuid4  # noqa: TID251 - tests need fresh ids only

import pytest
from pydantic import SecretStr

from shared.bus.messages import Call
from shared.contracts import identity, password
from shared.contracts.token import (
    Dialect,
    GrantClientCredentials,
    GrantPassword,
    IntrospectToken,
    Revoke,
    RevokeToken,
    TokenSet,
)
from shared.errors import Error, ErrorCode
from tests.integration.token.conftest import CLIENT, PASSWORD, SECRET, USERNAME, Token, outcome, refresh_token

DIALECTS: tuple[Dialect, ...] = ("oauth2", "backoffice", "enterprise", "directus")
BUILT_IN: tuple[Dialect, ...] = ("backoffice", "enterprise", "directus")
PROOF = {"client_id": CLIENT, "client_secret": SecretStr(SECRET)}
GRACE = 10


async def told(token: Token) -> list[tuple[str, str, str]]:
    """Session, client and reason of each end of a session that was told."""
    rows = await token.platform.database.fetch(
        "SELECT body FROM token.outbox WHERE subject = 'token.session_revoked.v1' ORDER BY position"
    )
    bodies = [json.loads(row["body"]) for row in rows]
    return [(body["session_id"], body["client_id"], body["reason"]) for body in bodies]


async def active(token: Token, text: str) -> bool:
    """Whether introspection finds the token good."""
    call = IntrospectToken(**PROOF, token=SecretStr(text))
    return (await token.neighbours["gateway"].call(call)).active


@pytest.mark.parametrize(("own", "other"), list(itertools.permutations(DIALECTS, 2)))
async def test_refresh_token_of_another_dialect(token: Token, own: Dialect, other: Dialect) -> None:
    """A refresh token is unknown in every dialect but its own, and trying so, however often, harms nobody."""
    held = await token.sign_in_to(own)
    for _ in range(2):
        assert await outcome(token.refresh_in(other, held)) == "session_unknown"
        token.platform.clock.advance(GRACE + 1)
    assert not await token.sign_out(other, refresh_token=held.refresh_token)
    assert not await token.sign_out(other, session_id=held.session_id)
    assert await outcome(token.refresh_in(own, held)) == "ok"
    assert await told(token) == []


@pytest.mark.parametrize("dialect", ["backoffice", "directus"])
async def test_rotation(token: Token, dialect: Dialect) -> None:
    """The dialects that rotate do so as oauth2: a new life, a grace for the token before, and an end for thieves."""
    held = await token.sign_in_to(dialect)
    token.platform.clock.advance(3600)
    first = await token.refresh_in(dialect, held)
    assert refresh_token(first) != refresh_token(held)
    assert (first.refresh_expires_in, first.id_token) == (held.refresh_expires_in, None)
    assert (await token.claims(first))["client_id"] == dialect
    token.platform.clock.advance(GRACE)
    assert refresh_token(await token.refresh_in(dialect, held)) == refresh_token(first)
    token.platform.clock.advance(1)
    assert await outcome(token.refresh_in(dialect, held)) == "session_replayed"
    assert await outcome(token.refresh_in(dialect, first)) == "session_revoked"
    assert await told(token) == [(str(held.session_id), dialect, "replayed")]


@pytest.mark.parametrize("dialect", ["backoffice", "directus"])
async def test_tabs_that_refresh_at_once(token: Token, dialect: Dialect) -> None:
    """Twenty tabs that refresh at the same moment get the same successor."""
    held = await token.sign_in_to(dialect)
    successors = await asyncio.gather(*(token.refresh_in(dialect, held) for _ in range(20)))
    assert len({refresh_token(successor) for successor in successors}) == 1


@pytest.mark.parametrize("dialect", BUILT_IN)
async def test_expired(token: Token, dialect: Dialect) -> None:
    """A refresh token that was not used in its time has expired."""
    held = await token.sign_in_to(dialect)
    assert held.refresh_expires_in is not None
    token.platform.clock.advance(held.refresh_expires_in)
    assert await outcome(token.refresh_in(dialect, held)) == "session_expired"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("by", ["session_id", "refresh_token"])
async def test_sign_out(token: Token, dialect: Dialect, by: str) -> None:
    """Signing out ends the session with all its tokens, the first one too; done again it finds nothing to end."""
    held, bystander = await token.sign_in_to(dialect), await token.sign_in_to(dialect)
    fresh = await token.refresh_in(dialect, held)
    which = {by: getattr(held, by)}
    assert await token.sign_out(dialect, **which) is True
    assert await token.sign_out(dialect, **which) is False
    assert await outcome(token.refresh_in(dialect, held)) == "session_revoked"
    for dead in (held, fresh):
        assert not await active(token, dead.access_token.get_secret_value())
    assert await active(token, bystander.access_token.get_secret_value())
    assert [(session, reason) for session, _, reason in await told(token)] == [(str(held.session_id), "signed_out")]


async def test_sign_out_with_an_old_refresh_token(token: Token) -> None:
    """Any refresh token that the session ever had signs out, long after it was replaced."""
    held = await token.sign_in_to("directus")
    newest = await token.refresh_in("directus", await token.refresh_in("directus", held))
    token.platform.clock.advance(3600)
    assert await token.sign_out("directus", refresh_token=held.refresh_token)
    assert await outcome(token.refresh_in("directus", newest)) == "session_revoked"


async def test_sign_out_once_at_a_time(token: Token) -> None:
    """Of many who sign out the same session at once one ended it, and that is told once."""
    held = await token.sign_in_to("backoffice")
    ended = await asyncio.gather(*(token.sign_out("backoffice", session_id=held.session_id) for _ in range(10)))
    assert sorted(ended) == [False] * 9 + [True]
    assert len(await told(token)) == 1


async def test_sign_out_of_nothing(token: Token) -> None:
    """What is no session, or no refresh token of ours, ends nothing; naming none, or two, is a mistake."""
    held = await token.sign_in_to("directus")
    text = refresh_token(held)
    altered = text[:-1] + ("A" if text[-1] != "A" else "B")
    assert not await token.sign_out("directus", session_id=uuid4())
    for nothing in (altered, "nonsense", "", "\0"):
        assert not await token.sign_out("directus", refresh_token=SecretStr(nothing))
    for mistake in ({}, {"session_id": held.session_id, "refresh_token": held.refresh_token}):
        with pytest.raises(Error) as refused:
            await token.sign_out("directus", **mistake)
        assert refused.value.code == ErrorCode.INVALID_REQUEST
    assert await told(token) == []
    assert await outcome(token.refresh_in("directus", held)) == "ok"


async def test_sign_out_after_the_refresh_token_expired(token: Token) -> None:
    """An access token that outlives its refresh token can still be ended."""
    held = await token.sign_in_to("enterprise")
    token.platform.clock.advance(90 * 86_400 - 60)
    fresh = await token.refresh_in("enterprise", held)
    token.platform.clock.advance(3600)
    assert await active(token, fresh.access_token.get_secret_value())
    assert await token.sign_out("enterprise", refresh_token=held.refresh_token)
    assert not await active(token, fresh.access_token.get_secret_value())


@pytest.mark.parametrize(
    ("event", "moment", "reason"),
    [
        (identity.UserSuspended, "suspended_at", "user_suspended"),
        (identity.UserDeleted, "deleted_at", "user_deleted"),
        (identity.PasswordChanged, "changed_at", "password_changed"),
        (password.PasswordChanged, "changed_at", "password_changed"),
    ],
)
async def test_what_happens_to_a_user_ends_sessions_everywhere(
    token: Token, event: type[identity.PasswordChanged], moment: str, reason: str
) -> None:
    """Suspension, deletion and a new password end the sessions of every dialect; the same news again end no new one."""
    held: dict[Dialect, TokenSet] = {dialect: await token.sign_in_to(dialect) for dialect in DIALECTS}
    bystander = f"{uuid4()}@example.com"
    others = {dialect: await token.sign_in_to(dialect, bystander) for dialect in DIALECTS}
    now, event_id = token.platform.clock.now(), uuid4()
    happened = event.model_validate({"user_id": token.platform.identity.user_id, moment: now})
    await token.tell(happened, event_id)
    for dialect, session in held.items():
        assert await outcome(token.refresh_in(dialect, session)) == "session_revoked"
        assert not await active(token, session.access_token.get_secret_value())
    for dialect, session in others.items():
        assert await outcome(token.refresh_in(dialect, session, username=bystander)) == "ok"
    assert sorted(await told(token)) == sorted(
        (str(session.session_id), CLIENT if dialect == "oauth2" else dialect, reason)
        for dialect, session in held.items()
    )
    token.platform.clock.advance(1)
    again = await token.sign_in_to("directus")
    await token.tell(happened, event_id)
    assert await outcome(token.refresh_in("directus", again)) == "ok"


async def test_an_operator_ends_all_of_a_user(token: Token) -> None:
    """Revoking a user ends the sessions of every dialect."""
    held = {dialect: await token.sign_in_to(dialect) for dialect in DIALECTS}
    await token.neighbours["operator"].call(Revoke(kind="user", value=str(token.platform.identity.user_id)))
    for dialect, session in held.items():
        assert await outcome(token.refresh_in(dialect, session)) == "session_revoked"


@pytest.mark.parametrize("dialect", BUILT_IN)
async def test_nobody_is_a_built_in_client(token: Token, dialect: Dialect) -> None:
    """A dialect's client can't be registered, and one that was registered by an earlier version proves nothing."""
    with pytest.raises(Error) as refused:
        await token.create_client(dialect)
    assert (refused.value.code, refused.value.detail) == (ErrorCode.INVALID_REQUEST, {"field": "client_id"})
    await token.platform.database.execute(
        "INSERT INTO token.clients SELECT $1, name, grants, scopes, audiences, created_at FROM token.clients", dialect
    )
    await token.platform.database.execute(
        "INSERT INTO token.client_secrets "
        "SELECT gen_random_uuid(), $1, kind, digest, created_at, expires_at FROM token.client_secrets",
        dialect,
    )
    for asked in (
        token.client_credentials(dialect),
        token.sign_in(client=dialect),
        token.refresh(await token.sign_in_to(dialect), client=dialect),
    ):
        with pytest.raises(Error) as refused:
            await asked
        assert (refused.value.code, refused.value.detail) == (ErrorCode.INVALID_CLIENT, {"reason": "wrong"})


@pytest.mark.parametrize("dialect", BUILT_IN)
async def test_only_oauth2_authenticates_clients(token: Token, dialect: Dialect) -> None:
    """In another dialect neither a grant, introspection nor revocation is to be had, whoever the client says to be."""
    held = await token.sign_in_to(dialect)
    sign_in = {"username": USERNAME, "password": SecretStr(PASSWORD)}
    for proof in (PROOF, {"client_id": dialect}, {}):
        calls: tuple[Call[Any], ...] = (
            GrantClientCredentials(dialect=dialect, **proof),
            GrantPassword(dialect=dialect, **proof, **sign_in),
            IntrospectToken(dialect=dialect, **proof, token=held.access_token),
            RevokeToken(dialect=dialect, **proof, token=held.refresh_token),
        )
        for asked in calls:
            with pytest.raises(Error) as refused:
                await token.neighbours["gateway"].call(asked)
            assert refused.value.code == ErrorCode.INVALID_REQUEST
    assert await outcome(token.refresh_in(dialect, held)) == "ok"


@pytest.mark.parametrize("dialect", BUILT_IN)
async def test_an_oauth_client_and_a_built_in_clients_tokens(token: Token, dialect: Dialect) -> None:
    """A registered client sees nothing in another's refresh token and can revoke neither of its tokens."""
    held = await token.sign_in_to(dialect)
    assert not await active(token, refresh_token(held))
    for secret in (held.access_token, held.refresh_token):
        await token.neighbours["gateway"].call(RevokeToken(**PROOF, token=secret))
    assert await active(token, held.access_token.get_secret_value())
    assert await outcome(token.refresh_in(dialect, held)) == "ok"
