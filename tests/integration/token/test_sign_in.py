"""Signing in by dialects without clients of their own: what comes first, what it yields, what is raced against."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from shared.contracts import identity, password
from shared.contracts.identity import AnswerChallenge, Authenticate
from shared.contracts.token import Dialect, GetRevocations, IntrospectToken, SignInChallenge, TokenSet
from shared.errors import Error, ErrorCode
from tests.integration.token.conftest import (
    CAREFUL,
    CLIENT,
    CODE,
    ISSUER,
    MUST_CHANGE,
    SECRET,
    USERNAME,
    Platform,
    Token,
    challenge,
    outcome,
    tokens,
)

DAY = 86_400
SESSIONS = "SELECT count(*) FROM token.sessions"
NEW = SecretStr("another password of theirs")


async def active(token: Token, held: TokenSet) -> bool:
    """Whether the access token is good at this moment."""
    call = IntrospectToken(client_id=CLIENT, client_secret=SecretStr(SECRET), token=held.access_token)
    return (await token.neighbours["gateway"].call(call)).active


@pytest.mark.parametrize(
    ("dialect", "access", "refresh", "more"),
    [
        ("backoffice", 36_000, 30 * DAY, {}),
        ("enterprise", DAY, 90 * DAY, {"token_use": "access", "username": "someone"}),
        ("directus", 900, 7 * DAY, {"role": None, "app_access": False, "admin_access": False}),
    ],
)
async def test_what_a_sign_in_yields(
    token: Token, dialect: Dialect, access: int, refresh: int, more: dict[str, Any]
) -> None:
    """Each dialect's user gets both tokens with the dialect's lives, made out to its built-in client."""
    granted = tokens(await token.start(dialect))
    assert (granted.expires_in, granted.refresh_expires_in, granted.scope) == (access, refresh, None)
    user_id, issued = str(token.platform.identity.user_id), int(token.platform.clock.now().timestamp())
    if dialect == "enterprise":
        more = more | {"origin_jti": str(granted.session_id)}
    if dialect == "directus":
        more = more | {"id": user_id}
    claims = await token.claims(granted)
    assert claims.pop("jti")
    assert claims == more | {
        "iss": ISSUER,
        "sub": user_id,
        "aud": ISSUER,
        "client_id": dialect,
        "iat": issued,
        "exp": issued + access,
        "sid": str(granted.session_id),
        "auth_time": issued,
        "amr": ["pwd"],
    }
    assert await active(token, granted)


@pytest.mark.parametrize(("took", "told"), [(0.05, 7 * DAY), (0.49, 7 * DAY), (0.51, 7 * DAY - 1)])
async def test_lives_are_told_to_the_nearest_second(token: Token, took: float, told: int) -> None:
    """The moment that a proof takes costs the cookie no second; nothing is said to live over half a second longer."""

    async def later() -> None:
        token.platform.clock.advance(took)

    token.platform.identity.before_answer = later
    assert tokens(await token.start("directus")).refresh_expires_in == told


@pytest.mark.parametrize("source", ["192.0.2.1/32", None])
async def test_where_it_came_from(token: Token, source: str | None) -> None:
    """In every dialect, and with every answer, it is passed on where the request came from, or that nobody knows."""
    await token.sign_in(source=source)
    for dialect in ("backoffice", "enterprise", "directus"):
        await token.start(dialect, source=source)
    factor = challenge(await token.start("backoffice", CAREFUL, source=source))
    await token.answer("backoffice", factor, code=SecretStr(CODE), source=source)
    renewal = challenge(await token.start("enterprise", MUST_CHANGE, source=source))
    await token.answer("enterprise", renewal, new_password=NEW, source=source)
    assert [call.source for call in token.platform.identity.calls] == [source] * 8


async def test_audience(platform: Platform) -> None:
    """Tokens of built-in clients are for the platform's audience."""
    async with platform.running(audience="https://api.example.com") as token:
        assert (await token.claims(tokens(await token.start("directus"))))["aud"] == "https://api.example.com"


async def test_id_token(token: Token) -> None:
    """Enterprise alone gives an ID token: for the client, of the same life, and worth nothing as access."""
    granted = tokens(await token.start("enterprise"))
    assert granted.id_token is not None
    told, access = await token.read(granted.id_token), await token.claims(granted)
    assert (told["aud"], told["token_use"], told["cognito:username"]) == ("enterprise", "id", "someone")
    assert (told["email"], told["email_verified"]) == (USERNAME, False)
    assert [told[name] for name in ("sub", "iat", "exp", "sid", "auth_time")] == [
        access[name] for name in ("sub", "iat", "exp", "sid", "auth_time")
    ]
    assert told["jti"] != access["jti"]
    assert not await active(token, granted.model_copy(update={"access_token": granted.id_token}))
    others: tuple[Dialect, ...] = ("oauth2", "backoffice", "directus")
    for dialect in others:
        assert (await token.sign_in_to(dialect)).id_token is None


@pytest.mark.parametrize(
    ("dialect", "accept_code", "second_factor", "new_password"),
    [
        ("oauth2", True, "refuse", False),
        ("backoffice", False, "challenge", False),
        ("enterprise", False, "refuse", True),
        ("directus", False, "inline", False),
    ],
)
async def test_what_identity_is_asked(
    token: Token, dialect: Dialect, accept_code: bool, second_factor: str, new_password: bool
) -> None:
    """A sign-in code passes for a password in oauth2 alone, and nothing is asked of users that a dialect can't do."""
    await token.sign_in_to(dialect)
    [call] = token.platform.identity.calls
    assert isinstance(call, Authenticate)
    assert (call.dialect, call.accept_code, call.second_factor, call.new_password, call.code) == (
        dialect,
        accept_code,
        second_factor,
        new_password,
        None,
    )


async def test_refused_sign_in_leaves_nothing(token: Token) -> None:
    """A wrong password or a due password change begins no session, and the reason is passed on."""
    without_a_way: tuple[Dialect, ...] = ("backoffice", "directus")
    for dialect in without_a_way:
        assert await outcome(token.start(dialect, password="wrong")) == "wrong_password"
        assert await outcome(token.start(dialect, MUST_CHANGE)) == "password_change_required"
    assert await outcome(token.start("enterprise", password="wrong")) == "wrong_password"
    assert await token.platform.database.fetchval(SESSIONS) == 0


async def test_oauth2_has_the_password_grant(token: Token) -> None:
    """Nobody signs in by oauth2 without a client, neither at once nor by a challenge."""
    assert await outcome(token.start("oauth2")) == "invalid_request"
    met = SignInChallenge(kind="new_password", token=SecretStr("x"))
    assert await outcome(token.answer("oauth2", met, new_password=NEW)) == "invalid_request"
    assert token.platform.identity.calls == []


async def test_second_factor_as_a_challenge(token: Token) -> None:
    """In backoffice a second factor is a step of its own, and the token says that both were proved."""
    first = challenge(await token.start("backoffice", CAREFUL))
    assert (first.kind, first.factor) == ("second_factor", "totp")
    assert first.expires_at == token.platform.clock.now() + timedelta(minutes=3)
    assert await token.platform.database.fetchval(SESSIONS) == 0
    granted = tokens(await token.answer("backoffice", first, code=SecretStr(CODE)))
    assert (await token.claims(granted))["amr"] == ["pwd", "otp", "mfa"]
    assert await outcome(token.answer("backoffice", first, code=SecretStr(CODE))) == "challenge_unknown"
    second = challenge(await token.start("backoffice", CAREFUL))
    assert await outcome(token.answer("backoffice", second, code=SecretStr("000000"))) == "wrong_code"
    assert await token.platform.database.fetchval(SESSIONS) == 1


async def test_second_factor_at_once(token: Token) -> None:
    """In directus the code comes with the password; without it, or with a wrong one, there is no session."""
    assert await outcome(token.start("directus", CAREFUL)) == "second_factor_required"
    assert await outcome(token.start("directus", CAREFUL, code=SecretStr("000000"))) == "wrong_code"
    assert await token.platform.database.fetchval(SESSIONS) == 0
    granted = tokens(await token.start("directus", CAREFUL, code=SecretStr(CODE)))
    assert (await token.claims(granted))["amr"] == ["pwd", "otp", "mfa"]


async def test_second_factor_that_cannot_be_proved(token: Token) -> None:
    """Enterprise names the factor and gives nothing to go on with; oauth2 refuses; a code is not even looked at."""
    named = challenge(await token.start("enterprise", CAREFUL, code=SecretStr(CODE)))
    assert named == SignInChallenge(kind="second_factor", factor="totp")
    with pytest.raises(Error) as refused:
        await token.sign_in(CAREFUL)
    assert (refused.value.code, refused.value.detail) == (ErrorCode.SECOND_FACTOR_REQUIRED, {"factor": "totp"})
    assert await token.platform.database.fetchval(SESSIONS) == 0


async def test_challenges_of_another_dialect(token: Token) -> None:
    """A challenge is answered in its dialect; where a dialect has none of that kind nobody is even asked."""
    factor = challenge(await token.start("backoffice", CAREFUL))
    due = challenge(await token.start("enterprise", MUST_CHANGE))
    asked = len(token.platform.identity.calls)
    answers = {"code": SecretStr(CODE), "new_password": NEW}
    misplaced: list[tuple[Dialect, SignInChallenge]] = [
        ("enterprise", factor),
        ("backoffice", due),
        ("directus", due),
    ]
    for dialect, met in misplaced:
        assert await outcome(token.answer(dialect, met, **answers)) == "challenge_unknown"
    assert len(token.platform.identity.calls) == asked
    # Of a kind, or under the name of a kind, that the dialect does have: identity refuses.
    assert await outcome(token.answer("directus", factor, **answers)) == "challenge_unknown"
    disguised = factor.model_copy(update={"kind": "new_password"})
    assert await outcome(token.answer("enterprise", disguised, **answers)) == "challenge_unknown"
    assert await token.platform.database.fetchval(SESSIONS) == 0


async def test_new_password(token: Token) -> None:
    """In enterprise a due password change is a challenge; answered, it yields a session, and identity has it all."""
    due = challenge(await token.start("enterprise", MUST_CHANGE))
    assert (due.kind, due.factor) == ("new_password", None)
    granted = tokens(await token.answer("enterprise", due, new_password=NEW, identifier=MUST_CHANGE))
    call = token.platform.identity.calls[-1]
    assert isinstance(call, AnswerChallenge)
    assert (call.kind, call.dialect, call.identifier, call.new_password) == (
        "new_password",
        "enterprise",
        MUST_CHANGE,
        NEW,
    )
    assert granted.id_token is not None
    assert await active(token, granted)


@pytest.mark.parametrize("event", [identity.PasswordChanged, password.PasswordChanged])
@pytest.mark.parametrize("news", ["before the session", "after the session"])
@pytest.mark.parametrize("ahead", [0.0, 5.0])
async def test_new_password_does_not_end_its_own_session(
    token: Token, event: Callable[..., identity.PasswordChanged], news: str, ahead: float
) -> None:
    """Whoever set a due password stays signed in, whenever the news of it come, even by a clock ahead of ours."""
    user_id, moments = token.platform.identity.user_id, []
    old = await token.sign_in_to("directus")
    due = challenge(await token.start("enterprise", MUST_CHANGE))
    token.platform.clock.advance(60.9 + ahead)

    async def changed(changed_at: datetime) -> None:
        moments.append(changed_at)
        if news == "before the session":
            await token.tell(event(user_id=user_id, changed_at=changed_at))
        token.platform.clock.advance(-ahead)

    token.platform.identity.after_new_password = changed
    granted = tokens(await token.answer("enterprise", due, new_password=NEW))
    if news == "after the session":
        await token.tell(event(user_id=user_id, changed_at=moments[0]))
    assert await active(token, granted)
    assert await outcome(token.refresh_in("enterprise", granted)) == "ok"
    assert await outcome(token.refresh_in("directus", old)) == "session_revoked"
    claims = await token.claims(granted)
    assert claims["iat"] >= claims["auth_time"] == int(moments[0].timestamp())
    # What followers of the feed will compare `iat` with.
    [bound] = [
        entry.issued_before
        for entry in (await token.neighbours["gateway"].call(GetRevocations())).revocations
        if entry.kind == "user"
    ]
    assert bound is not None
    assert claims["iat"] >= bound.timestamp()


async def test_new_password_that_was_replaced_at_once(token: Token) -> None:
    """If the password changes again after the one just set, the session of the latter ends too."""
    due = challenge(await token.start("enterprise", MUST_CHANGE))

    async def replaced(_changed_at: datetime) -> None:
        token.platform.clock.advance(0.001)
        event = password.PasswordChanged(user_id=token.platform.identity.user_id, changed_at=token.platform.clock.now())
        await token.tell(event)

    token.platform.identity.after_new_password = replaced
    assert await outcome(token.answer("enterprise", due, new_password=NEW)) == "challenge_unknown"


@pytest.mark.parametrize("dialect", ["oauth2", "backoffice", "enterprise", "directus"])
@pytest.mark.parametrize("event", [identity.PasswordChanged, password.PasswordChanged])
async def test_password_changed_during_a_sign_in(
    token: Token, dialect: Dialect, event: Callable[..., identity.PasswordChanged]
) -> None:
    """Who proved the old password just before it was replaced gets no session, or one that ends with the news."""
    user_id, moments = token.platform.identity.user_id, []

    async def changed() -> None:
        token.platform.clock.advance(0.001)
        moments.append(token.platform.clock.now())
        token.platform.clock.advance(0.001)

    token.platform.identity.before_answer = changed
    late = await token.sign_in_to(dialect)
    await token.tell(event(user_id=user_id, changed_at=moments[0]))
    assert await outcome(token.refresh_in(dialect, late)) == "session_revoked"

    async def changed_and_told() -> None:
        await changed()
        await token.tell(event(user_id=user_id, changed_at=moments[1]))

    token.platform.identity.before_answer = changed_and_told
    assert await outcome(token.sign_in_to(dialect)) == "wrong_password"


async def test_password_changed_between_the_steps(token: Token) -> None:
    """A second factor does not bring to life a password that was replaced after the first step."""
    first = challenge(await token.start("backoffice", CAREFUL))
    token.platform.identity.proved_at = token.platform.clock.now()
    token.platform.clock.advance(1)
    changed_at = token.platform.clock.now()
    event = password.PasswordChanged(user_id=token.platform.identity.user_id, changed_at=changed_at)
    await token.tell(event)
    token.platform.clock.advance(1)
    assert await outcome(token.answer("backoffice", first, code=SecretStr(CODE))) == "challenge_unknown"


async def test_identity_away(platform: Platform) -> None:
    """Without identity nobody signs in or goes on with a sign-in, at once and told so."""
    async with platform.running(with_identity=False) as token:
        met = SignInChallenge(kind="second_factor", token=SecretStr("x"))
        assert await outcome(token.start("directus")) == "unavailable"
        assert await outcome(token.answer("backoffice", met, code=SecretStr(CODE))) == "unavailable"
