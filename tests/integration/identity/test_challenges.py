"""Challenges: what they are bound to, how they end, and that the user is looked at again when they are answered."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from shared.contracts.identity import ChangePassword, SetSecondFactors, User
from shared.contracts.otp import IssueCode
from shared.errors import Error, ErrorCode
from tests.integration.identity.conftest import (
    CODE,
    EMAIL,
    NEW_PASSWORD,
    PASSWORD,
    PHONE,
    TOTP_SECRET,
    USERNAME,
    Identity,
    Platform,
    outcome,
)

DIALECT: dict[str, Any] = {"dialect": "any", "accept_code": False, "new_password": True}


async def set_factors(identity: Identity, **given: Any) -> User:
    """Do as an operator."""
    return await identity.callers["operator"].call(SetSecondFactors(identifier=EMAIL, **given))


async def test_email_factor(identity: Identity) -> None:
    """A user with the e-mailed factor is sent a code, and signs in with it after the password."""
    user = await identity.create(email_second_factor=True)
    asked = await identity.authenticate(EMAIL, second_factor="challenge", **DIALECT)
    assert asked.challenge is not None
    assert (asked.challenge.kind, asked.challenge.factor) == ("second_factor", "email")
    assert asked.challenge.expires_at == identity.platform.clock.now() + timedelta(seconds=600)
    assert asked.challenge.token is not None
    assert UUID(asked.challenge.token.get_secret_value()).version == 4
    (sent,) = identity.platform.otp.issued
    assert (sent.account, sent.purpose, sent.address) == (f"user:{user.id}", "second_factor", EMAIL)
    identity.platform.clock.advance(60)
    met = await identity.answer("second_factor", asked.challenge.token.get_secret_value(), "123 456")
    assert (met.user, met.methods, met.challenge) == (user, ["pwd", "otp"], None)
    assert met.proved_at == asked.proved_at == identity.platform.clock.now() - timedelta(seconds=60)


async def test_wrong_password_sends_nothing(identity: Identity) -> None:
    """Without the right password no code goes out and no challenge is given."""
    await identity.create(email_second_factor=True)
    more = {**DIALECT, "second_factor": "challenge"}
    assert await outcome(identity.authenticate(EMAIL, "wrong", **more)) == "wrong_password"
    assert identity.platform.otp.issued == []


async def test_caller_without_a_way(identity: Identity) -> None:
    """Where no second factor can be asked for none is sent, and neither password nor sign-in code is enough."""
    await identity.create(email_second_factor=True)
    await identity.send_code(email=EMAIL)
    for secret in (PASSWORD, CODE):
        assert await outcome(identity.authenticate(EMAIL, secret)) == "second_factor_required"
    assert [call.purpose for call in identity.platform.otp.issued] == ["sign_in"]


async def test_inline_email_factor(identity: Identity) -> None:
    """Where the code comes with the password it is sent when it is missing, and spent when it is there."""
    await identity.create(email_second_factor=True)
    more = {**DIALECT, "second_factor": "inline"}
    with pytest.raises(Error) as caught:
        await identity.authenticate(EMAIL, **more)
    assert (caught.value.code, caught.value.detail) == (ErrorCode.SECOND_FACTOR_REQUIRED, {"factor": "email"})
    assert len(identity.platform.otp.issued) == 1
    assert await outcome(identity.authenticate(EMAIL, code="000000", **more)) == "wrong_code"
    assert (await identity.authenticate(EMAIL, code=CODE, **more)).methods == ["pwd", "otp"]
    assert await outcome(identity.authenticate(EMAIL, code=CODE, **more)) == "wrong_code"


async def test_codes_of_other_purposes(identity: Identity) -> None:
    """A sign-in code is no second factor, and a second factor's code does not sign in."""
    await identity.create(email_second_factor=True)
    await identity.send_code(email=EMAIL)
    token = await identity.challenged()
    del identity.platform.otp.live[identity.platform.otp.issued[-1].account, "second_factor"]
    assert await outcome(identity.answer("second_factor", token, CODE)) == "wrong_code"
    await identity.challenged()
    identity.platform.otp.live.pop((identity.platform.otp.issued[-1].account, "sign_in"))
    assert await outcome(identity.authenticate(EMAIL, CODE)) == "wrong_password"


async def test_totp_before_email(identity: Identity) -> None:
    """Who has both is asked for the app's code alone."""
    await identity.create(totp_secret=TOTP_SECRET, email_second_factor=True)
    token = await identity.challenged()
    assert identity.platform.otp.issued == []
    assert (await identity.answer("second_factor", token, identity.totp())).methods == ["pwd", "otp", "mfa"]


async def test_new_password(identity: Identity) -> None:
    """Who must change the password does so in answer to the challenge, and is signed in with the new one from then."""
    user = await identity.create(must_change_password=True)
    token = await identity.challenged()
    identity.platform.clock.advance(30)
    met = await identity.answer("new_password", token, NEW_PASSWORD)
    assert (met.user.id, met.user.state, met.methods, met.challenge) == (user.id, "active", ["pwd"], None)
    assert met.proved_at is not None
    assert met.proved_at > identity.platform.clock.now()  # which is when all earlier sessions end
    assert await outcome(identity.authenticate(EMAIL)) == "wrong_password"
    assert (await identity.authenticate(EMAIL, NEW_PASSWORD)).user.state == "active"


async def test_weak_new_password(identity: Identity) -> None:
    """A weak password says why, and the challenge lives on, however often that happens."""
    await identity.create(must_change_password=True)
    token = await identity.challenged()
    for weak in ("short", EMAIL, "", "x", "y"):
        with pytest.raises(Error) as caught:
            await identity.answer("new_password", token, weak)
        assert (caught.value.code, caught.value.detail) == (ErrorCode.WEAK_PASSWORD, {"reasons": ["too_short"]})
    assert await outcome(identity.answer("new_password", token, None)) == "invalid_request"
    assert await outcome(identity.answer("new_password", token, NEW_PASSWORD)) == "ok"


async def test_the_temporary_password_is_no_new_one(identity: Identity) -> None:
    """The password that has to be changed is refused as the new one, and the challenge lives on, however often."""
    user = await identity.create(must_change_password=True)
    token = await identity.challenged()
    for _ in range(5):
        with pytest.raises(Error) as caught:
            await identity.answer("new_password", token, PASSWORD)
        assert (caught.value.code, caught.value.detail) == (ErrorCode.WEAK_PASSWORD, {"reasons": ["same_as_before"]})
    assert await outcome(identity.authenticate(EMAIL)) == "password_change_required"
    assert await outcome(identity.answer("new_password", token, NEW_PASSWORD)) == "ok"
    assert identity.platform.password.kept[user.id] == NEW_PASSWORD


async def test_a_new_password_sent_twice(identity: Identity) -> None:
    """Of two answers with one password, the later one finds the challenge gone: its password is not called old."""
    await identity.create(must_change_password=True)
    token = await identity.challenged()

    async def overtake() -> None:
        identity.platform.password.verifying = None
        assert await outcome(identity.answer("new_password", token, NEW_PASSWORD)) == "ok"

    identity.platform.password.verifying = overtake
    assert await outcome(identity.answer("new_password", token, NEW_PASSWORD)) == "challenge_unknown"


async def test_second_factor_before_the_new_password(identity: Identity) -> None:
    """Who has to do both proves the second factor first; the answer to that is the other challenge."""
    await identity.create(must_change_password=True, totp_secret=TOTP_SECRET)
    token = await identity.challenged()
    assert await outcome(identity.answer("new_password", token, NEW_PASSWORD)) == "challenge_unknown"
    between = await identity.answer("second_factor", token, identity.totp())
    assert between.challenge is not None
    assert between.challenge.token is not None
    assert between.challenge.kind == "new_password"
    met = await identity.answer("new_password", between.challenge.token.get_secret_value(), NEW_PASSWORD)
    assert (met.methods, met.challenge, met.user.second_factors) == (["pwd", "otp", "mfa"], None, ["totp"])


async def test_nobody_to_ask_for_a_new_password(identity: Identity) -> None:
    """Where no new password can be asked for, the second factor is proved and the sign-in refused all the same."""
    await identity.create(must_change_password=True, totp_secret=TOTP_SECRET)
    more = {"dialect": "any", "second_factor": "challenge"}
    asked = await identity.authenticate(EMAIL, **more)
    assert asked.challenge is not None
    assert asked.challenge.token is not None
    token = asked.challenge.token.get_secret_value()
    assert await outcome(identity.answer("second_factor", token, identity.totp())) == "password_change_required"
    assert await outcome(identity.answer("second_factor", token, identity.totp(steps=1))) == "challenge_unknown"


async def test_works_once(identity: Identity) -> None:
    """A challenge that was met is gone, also for those who answer it at the same moment."""
    await identity.create(must_change_password=True)
    token = await identity.challenged()
    outcomes = await asyncio.gather(*(outcome(identity.answer("new_password", token, NEW_PASSWORD)) for _ in range(3)))
    assert sorted(outcomes) == ["challenge_unknown"] * 2 + ["ok"]
    await set_factors(identity, email=True)
    token = await identity.challenged(secret=NEW_PASSWORD)
    assert await outcome(identity.answer("second_factor", token, CODE)) == "ok"
    await identity.challenged(secret=NEW_PASSWORD)  # another code is there to be spent
    assert await outcome(identity.answer("second_factor", token, CODE)) == "challenge_unknown"


async def test_attempts(identity: Identity) -> None:
    """After three wrong answers a challenge is gone, and a right one comes too late."""
    await identity.create(totp_secret=TOTP_SECRET)
    token = await identity.challenged()
    outcomes = [await outcome(identity.answer("second_factor", token, "000000")) for _ in range(3)]
    assert outcomes == ["wrong_code"] * 3
    assert await outcome(identity.answer("second_factor", token, identity.totp())) == "challenge_unknown"
    assert await outcome(identity.answer("second_factor", await identity.challenged(), identity.totp())) == "ok"


async def test_attempts_at_once(identity: Identity) -> None:
    """Of any number of answers at the same moment three are compared."""
    await identity.create(email_second_factor=True)
    token = await identity.challenged()
    outcomes = await asyncio.gather(
        *(outcome(identity.answer("second_factor", token, f"{n:06d}")) for n in range(1, 21))
    )
    assert sorted(outcomes) == ["challenge_unknown"] * 17 + ["wrong_code"] * 3
    assert len(identity.platform.otp.checked) == 3


@pytest.mark.parametrize(("seconds", "expected"), [(599, "ok"), (600, "challenge_unknown")])
async def test_expiry(identity: Identity, seconds: int, expected: str) -> None:
    """A challenge can be answered for its time and no longer."""
    await identity.create(must_change_password=True)
    token = await identity.challenged()
    identity.platform.clock.advance(seconds)
    assert await outcome(identity.answer("new_password", token, NEW_PASSWORD)) == expected


async def test_bound_to_dialect_and_kind(identity: Identity) -> None:
    """A challenge is worth nothing in another dialect or as one of another kind."""
    await identity.create(email_second_factor=True)
    token = await identity.challenged()
    assert await outcome(identity.answer("second_factor", token, CODE, dialect="other")) == "challenge_unknown"
    assert await outcome(identity.answer("new_password", token, NEW_PASSWORD)) == "challenge_unknown"
    assert await outcome(identity.answer("second_factor", token, CODE)) == "ok"
    assert identity.platform.password.kept.popitem()[1] == PASSWORD


@pytest.mark.parametrize("identifier", [EMAIL, PHONE, USERNAME, "SOMEONE"])
async def test_identifier_of_the_user(identity: Identity, identifier: str) -> None:
    """Any name of the challenge's user may come with the answer."""
    await identity.create(must_change_password=True)
    token = await identity.challenged()
    assert await outcome(identity.answer("new_password", token, NEW_PASSWORD, identifier=identifier)) == "ok"


@pytest.mark.parametrize("identifier", ["other", "nobody", "", "\0"])
async def test_identifier_of_somebody_else(identity: Identity, identifier: str) -> None:
    """With somebody else's name, or nobody's, the challenge is not met, and nobody's password changes."""
    await identity.create(must_change_password=True)
    await identity.create(username="other")
    token = await identity.challenged()
    answer = identity.answer("new_password", token, NEW_PASSWORD, identifier=identifier)
    assert await outcome(answer) == "challenge_unknown"
    assert set(identity.platform.password.kept.values()) == {PASSWORD}


@pytest.mark.parametrize("token", ["", "x", "5fe01739-fe5a-4fb1-9711-aa04ac91dfde", "\0", "5" * 10_000])
async def test_any_text_as_a_token(identity: Identity, token: str) -> None:
    """A token that we did not make is unknown, whatever it looks like."""
    assert await outcome(identity.answer("second_factor", token, CODE)) == "challenge_unknown"


@pytest.mark.parametrize("state", [{"email_second_factor": True}, {"must_change_password": True}])
async def test_suspended_meanwhile(identity: Identity, state: dict[str, bool]) -> None:
    """Who was suspended, or deleted, since the challenge was given does not get in by it."""
    await identity.create(**state)
    kind: Any = "new_password" if "must_change_password" in state else "second_factor"
    tokens = [await identity.challenged() for _ in range(2)]
    await identity.suspend(EMAIL)
    assert await outcome(identity.answer(kind, tokens[0], NEW_PASSWORD)) == "challenge_unknown"
    await identity.delete(EMAIL)
    assert await outcome(identity.answer(kind, tokens[1], NEW_PASSWORD)) == "challenge_unknown"
    assert set(identity.platform.password.kept.values()) == {PASSWORD}


async def test_suspended_while_the_password_is_set(identity: Identity) -> None:
    """Who is suspended at the very moment stays so, whatever password was set."""
    await identity.create(must_change_password=True)
    token = await identity.challenged()
    suspending: list[asyncio.Task[User]] = []
    gate = asyncio.Event()

    async def suspend() -> User:
        try:
            return await identity.suspend(EMAIL)
        finally:
            gate.set()

    identity.platform.password.before_set = lambda: suspending.append(asyncio.create_task(suspend()))
    identity.platform.password.after_set = gate.wait
    assert await outcome(identity.answer("new_password", token, NEW_PASSWORD)) == "challenge_unknown"
    assert (await suspending[0]).state == "suspended"
    assert await outcome(identity.authenticate(EMAIL, NEW_PASSWORD)) == "user_suspended"


async def test_factor_turned_on_meanwhile(identity: Identity) -> None:
    """Who has turned a second factor on since has to prove it: the challenge for the rest is not enough any more."""
    user = await identity.create(must_change_password=True)
    token = await identity.challenged()
    secret = await identity.totp_secret(user)
    await identity.enable_totp(user, secret, identity.totp(secret))
    with pytest.raises(Error) as caught:
        await identity.answer("new_password", token, NEW_PASSWORD)
    assert (caught.value.code, caught.value.detail) == (ErrorCode.SECOND_FACTOR_REQUIRED, {"factor": "totp"})
    assert await outcome(identity.answer("new_password", token, NEW_PASSWORD)) == "challenge_unknown"
    assert identity.platform.password.kept[user.id] == PASSWORD


async def test_stronger_factor_turned_on_meanwhile(identity: Identity) -> None:
    """An e-mailed code does not do any more for who has turned an authenticator on since it was sent."""
    user = await identity.create(email_second_factor=True)
    token = await identity.challenged()
    secret = await identity.totp_secret(user)
    await identity.enable_totp(user, secret, identity.totp(secret))
    assert await outcome(identity.answer("second_factor", token, CODE)) == "second_factor_required"
    assert await outcome(identity.answer("second_factor", token, CODE)) == "challenge_unknown"


async def test_factor_turned_off_meanwhile(identity: Identity) -> None:
    """A challenge for a factor that is off since is unknown: the user signs in anew."""
    await identity.create(totp_secret=TOTP_SECRET)
    token = await identity.challenged()
    await set_factors(identity, remove_totp=True)
    assert await outcome(identity.answer("second_factor", token, identity.totp())) == "challenge_unknown"


async def test_password_changed_meanwhile(identity: Identity) -> None:
    """What the old password led to is void once there is a new one."""
    user = await identity.create(totp_secret=TOTP_SECRET)
    token = await identity.challenged()
    identity.platform.clock.advance(1)
    await identity.callers["gateway"].call(
        ChangePassword(user_id=user.id, password=SecretStr(PASSWORD), new_password=SecretStr(NEW_PASSWORD))
    )
    assert await outcome(identity.answer("second_factor", token, identity.totp())) == "challenge_unknown"
    token = await identity.challenged(secret=NEW_PASSWORD)
    assert await outcome(identity.answer("second_factor", token, identity.totp())) == "ok"


async def test_code_service_away(platform: Platform) -> None:
    """While no code can be sent or checked nobody gets past the e-mailed factor, and no attempt is lost."""
    async with platform.running() as identity:
        await identity.create(email_second_factor=True)
        token = await identity.challenged()
    async with platform.running(with_otp=False) as identity:
        assert await outcome(identity.challenged()) == "unavailable"
        for _ in range(12):
            assert await outcome(identity.answer("second_factor", token, CODE)) == "unavailable"
    async with platform.running() as identity:
        assert await outcome(identity.answer("second_factor", token, CODE)) == "ok"


async def test_mail_not_set_up(identity: Identity) -> None:
    """Where no mail can be sent, a user who needs one is told that it cannot be now, not that all is well."""
    await identity.create(email_second_factor=True)

    async def refuse(_call: IssueCode) -> None:
        raise Error(ErrorCode.FEATURE_DISABLED, "codes by email are not set up")

    identity.platform.otp.before_issue = refuse
    assert await outcome(identity.challenged()) == "unavailable"


async def test_nothing_readable_in_redis(identity: Identity, redis_url: str, redis_prefix: str) -> None:
    """A look into Redis shows no token, and no name that an account is known by."""
    await identity.create(totp_secret=TOTP_SECRET)
    token = await identity.challenged()
    await outcome(identity.authenticate("nobody@example.com"))
    async with Redis.from_url(redis_url, decode_responses=True) as redis:
        keys = [key async for key in redis.scan_iter(match=f"{redis_prefix}identity:*")]
        texts = [*keys]
        for key in keys:
            if await redis.type(key) == "hash":
                texts += (await redis.hgetall(key)).values()
        assert [key for key in keys if await redis.ttl(key) < 0] == []
    assert len(keys) >= 2
    assert not any(word in text for text in texts for word in (token, EMAIL, USERNAME, "nobody", PASSWORD))
