"""Signing in by way of an external provider: what it yields, what comes first, what is raced against."""

from typing import Any, get_args

from pydantic import SecretStr

from shared.contracts.identity import AnswerChallenge, UserSuspended
from shared.contracts.providers import AuthenticateByProvider
from shared.contracts.token import Dialect
from tests.integration.token.conftest import (
    CAREFUL,
    CODE,
    UNVERIFIED,
    USERNAME,
    Platform,
    Token,
    challenge,
    outcome,
    tokens,
)

SESSIONS = "SELECT count(*) FROM token.sessions"


async def test_what_it_yields(token: Token) -> None:
    """A session like any other of the dialect, whose tokens say that somebody else vouched for the user."""
    granted = tokens(await token.come_back())
    claims = await token.claims(granted)
    assert (claims["client_id"], claims["amr"]) == ("directus", ["fed"])
    assert (granted.expires_in, granted.refresh_expires_in) == (900, 7 * 86_400)
    assert await outcome(token.refresh_in("directus", granted)) == "ok"


async def test_identity_gets_all_of_it(token: Token) -> None:
    """What the browser brought back is passed on whole: `token` judges none of it."""
    more: dict[str, Any] = {"issuer": "https://accounts.example.com", "source": "192.0.2.1/32"}
    await token.come_back(**more)
    [call] = token.platform.identity.calls
    assert isinstance(call, AuthenticateByProvider)
    assert call == AuthenticateByProvider(
        provider="example",
        dialect="directus",
        state=SecretStr("a state that was given"),
        browser=SecretStr("a secret of this browser"),
        code=SecretStr(USERNAME),
        **more,
    )


async def test_a_second_factor_comes_first(token: Token) -> None:
    """Whoever has one proves it as a step of its own, and the token says what was proved."""
    first = challenge(await token.come_back(CAREFUL))
    assert (first.kind, first.factor) == ("second_factor", "totp")
    assert await token.platform.database.fetchval(SESSIONS) == 0
    granted = tokens(await token.answer("directus", first, code=SecretStr(CODE)))
    assert (await token.claims(granted))["amr"] == ["fed", "otp", "mfa"]
    call = token.platform.identity.calls[-1]
    assert isinstance(call, AnswerChallenge)
    assert (call.dialect, call.kind) == ("directus", "second_factor")
    assert await outcome(token.answer("directus", first, code=SecretStr(CODE))) == "challenge_unknown"
    second = challenge(await token.come_back(CAREFUL))
    assert await outcome(token.answer("directus", second, code=SecretStr("000000"))) == "wrong_code"
    assert await token.platform.database.fetchval(SESSIONS) == 1


async def test_who_is_refused_gets_no_session(token: Token) -> None:
    """The reason is passed on, for the edge to merge."""
    assert await outcome(token.come_back(UNVERIFIED)) == "no_such_user"
    assert await token.platform.database.fetchval(SESSIONS) == 0


async def test_dialects_without_providers(token: Token) -> None:
    """Nobody comes in by a provider where the dialect has none, and no provider is asked."""
    others: list[Dialect] = [dialect for dialect in get_args(Dialect) if dialect != "directus"]
    for dialect in others:
        assert await outcome(token.come_back(dialect=dialect)) == "invalid_request"
    assert token.platform.identity.calls == []


async def test_suspended_meanwhile(token: Token) -> None:
    """Who is suspended while the provider is asked gets no session, and the same words as any stranger."""

    async def suspended() -> None:
        token.platform.clock.advance(0.001)
        now = token.platform.clock.now()
        await token.tell(UserSuspended(user_id=token.platform.identity.user_id, suspended_at=now))

    token.platform.identity.before_answer = suspended
    assert await outcome(token.come_back()) == "wrong_password"


async def test_identity_away(platform: Platform) -> None:
    """Without identity nobody comes in, at once and told so."""
    async with platform.running(with_identity=False) as token:
        assert await outcome(token.come_back()) == "unavailable"
