"""Refreshing in enterprise: one refresh token for ever, so many access tokens, and a name that has to fit."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from shared.contracts.identity import UserState
from shared.contracts.token import TokenSet
from shared.errors import Error, ErrorCode
from tests.integration.token.conftest import USERNAME, Platform, Token, outcome, refresh_token

DAY = 86_400
LIMIT = 90


async def row(token: Token, held: TokenSet) -> dict[str, Any]:
    """The session as it is kept."""
    kept = await token.platform.database.fetchrow("SELECT * FROM token.sessions WHERE id = $1", held.session_id)
    assert kept is not None
    return dict(kept)


async def uses(token: Token, held: TokenSet) -> int:
    """How often the refresh token was used, as it counts."""
    return int((await row(token, held))["refreshes"])


async def test_the_refresh_token_stays(token: Token) -> None:
    """Each use yields an access and an ID token and no refresh token; nothing of the session changes but the count."""
    held = await token.sign_in_to("enterprise")
    before = await row(token, held)
    seen = {(await token.claims(held))["jti"]}
    for count in range(1, 4):
        token.platform.clock.advance(DAY)
        fresh = await token.refresh_in("enterprise", held)
        assert (fresh.refresh_token, fresh.refresh_expires_in, fresh.expires_in) == (None, None, DAY)
        assert fresh.session_id == held.session_id
        claims = await token.claims(fresh)
        seen.add(claims["jti"])
        assert (claims["sub"], claims["origin_jti"]) == (str(token.platform.identity.user_id), str(held.session_id))
        assert (claims["username"], claims["auth_time"]) == ("someone", int(before["created_at"].timestamp()))
        assert fresh.id_token is not None
        told = await token.read(fresh.id_token)
        assert (told["iat"], told["auth_time"]) == (claims["iat"], claims["auth_time"])
        assert await row(token, held) == before | {"refreshes": count}
    assert len(seen) == 4


async def test_ninety_and_no_more(token: Token) -> None:
    """A refresh token yields ninety access tokens; the next attempt is told when it would end anyway."""
    held = await token.sign_in_to("enterprise")
    for _ in range(LIMIT):
        await token.refresh_in("enterprise", held)
    token.platform.clock.advance(10 * DAY)
    with pytest.raises(Error) as refused:
        await token.refresh_in("enterprise", held)
    assert (refused.value.code, refused.value.retry_after) == (ErrorCode.REFRESH_LIMIT_REACHED, 80 * DAY)
    assert await uses(token, held) == LIMIT
    # Signing in again is a session with a count of its own.
    assert await outcome(token.refresh_in("enterprise", await token.sign_in_to("enterprise"))) == "ok"


async def test_many_at_once(platform: Platform) -> None:
    """Of a hundred uses at the same moment exactly as many succeed as the limit leaves."""
    async with platform.running(enterprise_refresh_limit="30") as token:
        held = await token.sign_in_to("enterprise")
        outcomes = Counter(await asyncio.gather(*(outcome(token.refresh_in("enterprise", held)) for _ in range(100))))
        assert outcomes == {"ok": 30, "refresh_limit_reached": 70}
        assert await uses(token, held) == 30


async def test_use_prolongs_nothing(token: Token) -> None:
    """Ninety days after the sign-in the refresh token has expired, however often it was used."""
    held = await token.sign_in_to("enterprise")
    token.platform.clock.advance(90 * DAY - 1)
    assert await outcome(token.refresh_in("enterprise", held)) == "ok"
    token.platform.clock.advance(1)
    assert await outcome(token.refresh_in("enterprise", held)) == "session_expired"
    assert await uses(token, held) == 1


@pytest.mark.parametrize("name", ["someone", "SomeOne", " someone ", USERNAME, USERNAME.upper(), "+64211234567"])
async def test_names_of_the_user(token: Token, name: str) -> None:
    """Any name of the session's user will do, in whatever case."""
    held = await token.sign_in_to("enterprise")
    assert await outcome(token.refresh_in("enterprise", held, username=name)) == "ok"


async def test_the_id_is_a_name(token: Token) -> None:
    """The id, by which a token calls a user without username and e-mail address, will do in whatever case."""
    held = await token.sign_in_to("enterprise")
    for name in (str(token.platform.identity.user_id), str(token.platform.identity.user_id).upper()):
        assert await outcome(token.refresh_in("enterprise", held, username=name)) == "ok"


async def test_a_name_in_another_form(token: Token) -> None:
    """Whatever identity takes for a name of the session's user will do, and only that."""
    held = await token.sign_in_to("enterprise")
    name = "021 123 4567"
    assert await outcome(token.refresh_in("enterprise", held, username=name)) == "session_unknown"
    token.platform.identity.known_names.add(name)
    assert await outcome(token.refresh_in("enterprise", held, username=name)) == "ok"
    assert await outcome(token.refresh_in("enterprise", held, username="021 123 4568")) == "session_unknown"
    assert await uses(token, held) == 1


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (None, "invalid_request"),
        ("", "invalid_request"),
        (" ", "session_unknown"),
        ("None", "session_unknown"),
        ("somebody", "session_unknown"),
        ("someone@example.co", "session_unknown"),
        ("some%", "session_unknown"),
    ],
)
async def test_another_name(token: Token, name: str | None, code: str) -> None:
    """With another's name, or none, the refresh token is worth nothing, and nothing is counted."""
    held = await token.sign_in_to("enterprise")
    assert await outcome(token.refresh_in("enterprise", held, username=name)) == code
    assert await uses(token, held) == 0
    assert await outcome(token.refresh_in("enterprise", held)) == "ok"


@pytest.mark.parametrize("state", ["suspended", "must_change_password"])
async def test_a_user_who_may_not_sign_in(token: Token, state: UserState) -> None:
    """A user who was shut out gets nothing, even before the news end the session."""
    held = await token.sign_in_to("enterprise")
    token.platform.identity.states[token.platform.identity.user_id] = state
    assert await outcome(token.refresh_in("enterprise", held)) == "session_unknown"
    assert await uses(token, held) == 0


async def test_a_user_who_is_no_more(token: Token) -> None:
    """A deleted user's refresh token is worth nothing, even before the news end the session."""
    held = await token.sign_in_to("enterprise")
    token.platform.identity.gone.add(token.platform.identity.user_id)
    assert await outcome(token.refresh_in("enterprise", held)) == "session_unknown"
    assert await uses(token, held) == 0


async def test_identity_away(platform: Platform) -> None:
    """Without identity enterprise refreshes nothing and counts nothing, while the other dialects go on."""
    async with platform.running() as token:
        held = await token.sign_in_to("enterprise")
        other = await token.sign_in_to("directus")
    async with platform.running(with_identity=False) as token:
        assert await outcome(token.refresh_in("enterprise", held)) == "unavailable"
        assert await outcome(token.refresh_in("directus", other)) == "ok"
        assert await uses(token, held) == 0


async def test_ended_session(token: Token) -> None:
    """A session that was ended yields nothing more."""
    held = await token.sign_in_to("enterprise")
    assert await token.sign_out("enterprise", session_id=held.session_id)
    assert await outcome(token.refresh_in("enterprise", held)) == "session_revoked"


async def test_a_scope(token: Token) -> None:
    """There are no scopes to ask for, and asking counts as no use."""
    held = await token.sign_in_to("enterprise")
    assert await outcome(token.refresh_in("enterprise", held, scope="admin")) == "invalid_scope"
    assert await uses(token, held) == 0


async def test_a_counter_that_was_never_given(platform: Platform) -> None:
    """A token of our own for a rotation that never happened is none of this session's."""
    async with platform.running() as token:
        held = await token.sign_in_to("enterprise")
        await platform.database.execute("UPDATE token.sessions SET counter = 1 WHERE id = $1", held.session_id)
        assert await outcome(token.refresh_in("enterprise", held)) == "session_unknown"
        assert await uses(token, held) == 0


async def test_database_away(platform: Platform) -> None:
    """Without PostgreSQL nothing is refreshed or ended, and that is told at once."""
    async with platform.running() as token:
        held = await token.sign_in_to("enterprise")
    away = replace(platform, settings=platform.settings | {"DRAGOMAN_POSTGRES_URL": "postgresql://u:p@127.0.0.1:1/x"})
    async with away.running() as token:
        assert await outcome(token.refresh_in("enterprise", refresh_token(held))) == "unavailable"
        assert await outcome(token.sign_out("enterprise", session_id=held.session_id)) == "unavailable"
