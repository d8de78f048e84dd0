"""Authenticator apps and recovery codes: turned on, asked for, spent and turned off."""

import asyncio
from typing import Any

import pytest
from pydantic import SecretStr

from shared.bus.messages import Done
from shared.contracts.identity import DisableTotp, SetSecondFactors, User
from shared.errors import Error, ErrorCode
from tests.integration.identity.conftest import (
    CODE,
    EMAIL,
    PASSWORD,
    PHONE,
    SECRET_KEY,
    TOTP_SECRET,
    USERNAME,
    Identity,
    Platform,
    outcome,
)

STEP_SECONDS = 30


async def enabled(identity: Identity) -> tuple[User, str, list[str]]:
    """A user who has turned TOTP on by hand: the user, the secret and the recovery codes."""
    user = await identity.create()
    setup = await identity.generate_totp(user)
    secret = setup.secret.get_secret_value()
    await identity.enable_totp(user, secret, identity.totp(secret))
    identity.platform.clock.advance(STEP_SECONDS)
    return user, secret, [code.get_secret_value() for code in setup.recovery_codes]


async def disable(identity: Identity, user: User, code: str) -> Done:
    """Turn TOTP off by a code."""
    return await identity.callers["gateway"].call(DisableTotp(user_id=user.id, code=SecretStr(code)))


async def inline(identity: Identity, code: str | None, identifier: str = EMAIL, secret: str = PASSWORD) -> Any:
    """Sign in with password and code in one."""
    return await identity.authenticate(identifier, secret, code=code, second_factor="inline", accept_code=False)


async def test_from_nothing_to_a_sign_in(identity: Identity) -> None:
    """A generated secret, enabled by its code, is asked for at sign-in and makes it a multi-factor one."""
    user, secret, _ = await enabled(identity)
    with pytest.raises(Error) as caught:
        await inline(identity, None)
    assert (caught.value.code, caught.value.detail) == (ErrorCode.SECOND_FACTOR_REQUIRED, {"factor": "totp"})
    recognised = await inline(identity, identity.totp(secret))
    assert (recognised.user.id, recognised.methods) == (user.id, ["pwd", "otp", "mfa"])
    assert recognised.user.second_factors == ["totp"]
    assert identity.platform.otp.issued == []


async def test_generating_changes_nothing(identity: Identity) -> None:
    """A secret that nobody enabled is not asked for, and each one is new."""
    user = await identity.create()
    first, second = await identity.generate_totp(user), await identity.generate_totp(user)
    assert first.secret != second.secret
    url = first.otpauth_url.get_secret_value()
    assert url.startswith("otpauth://totp/Dragoman:someone%40example.com?")
    assert f"secret={first.secret.get_secret_value()}&" in url
    assert len(first.recovery_codes) == 10
    assert (await identity.authenticate(EMAIL)).user.second_factors == []


async def test_password_guards_the_secret(identity: Identity) -> None:
    """Without the password nobody gets a secret, whoever holds the session; wrong ones count for the account."""
    user = await identity.create()
    assert await outcome(identity.generate_totp(user, "wrong")) == "wrong_password"
    for _ in range(9):
        await outcome(identity.generate_totp(user, "wrong"))
    assert await outcome(identity.generate_totp(user)) == "too_many_attempts"
    assert await outcome(identity.authenticate(EMAIL)) == "too_many_attempts"


async def test_enabling(identity: Identity) -> None:
    """A secret is enabled by its own code only, once, and needs the form of one."""
    user = await identity.create()
    secret = await identity.totp_secret(user)
    assert await outcome(identity.enable_totp(user, secret, identity.totp("GEZDGNBVGY3TQOJQ"))) == "wrong_code"
    assert await outcome(identity.enable_totp(user, secret, identity.totp(secret, steps=2))) == "wrong_code"
    with pytest.raises(Error) as caught:
        await identity.enable_totp(user, "no secret", identity.totp(secret))
    assert (caught.value.code, caught.value.detail) == (ErrorCode.INVALID_REQUEST, {"field": "secret"})
    spaced = f"{secret[:16]} {secret[16:]}".lower()
    assert await outcome(identity.enable_totp(user, spaced, f" {identity.totp(secret)} ")) == "ok"
    assert await outcome(identity.enable_totp(user, secret, identity.totp(secret))) == "conflict"
    assert await outcome(identity.enable_totp(user, TOTP_SECRET, identity.totp())) == "conflict"
    assert await outcome(identity.generate_totp(user)) == "conflict"


async def test_secrets_that_were_not_generated(identity: Identity) -> None:
    """Who only holds a token turns TOTP on by no secret: not one made at home, another user's, or a changed one."""
    user, other = await identity.create(), await identity.create(email="other@example.com")
    theirs, own = await identity.totp_secret(other), await identity.totp_secret(user)
    changed = ("B" if own[0] == "A" else "A") + own[1:]
    for secret in (TOTP_SECRET, TOTP_SECRET * 2, theirs, changed, own[:16], own + TOTP_SECRET):
        for _ in range(4):  # together more often than an account may fail: none of this is a guess at a code
            with pytest.raises(Error) as caught:
                await identity.enable_totp(user, secret, identity.totp(secret))
            told = (caught.value.code, caught.value.detail)
            assert told == (ErrorCode.INVALID_REQUEST, {"field": "secret", "reason": "not_generated"})
    assert (await identity.authenticate(EMAIL)).user.second_factors == []
    assert await outcome(identity.enable_totp(user, own, identity.totp(own))) == "ok"


@pytest.mark.parametrize(("seconds", "expected"), [(-1, "ok"), (7199, "ok"), (7200, "invalid_request")])
async def test_a_generated_secret_waits_for_an_hour(identity: Identity, seconds: int, expected: str) -> None:
    """It is enabled in its hour and the next, also where a clock is a little behind, and later no more."""
    user = await identity.create()  # the clock stands at a full hour
    secret = await identity.totp_secret(user)
    identity.platform.clock.advance(seconds)
    assert await outcome(identity.enable_totp(user, secret, identity.totp(secret))) == expected


async def test_enabled_at_once(identity: Identity) -> None:
    """Of several secrets that are enabled at the same moment one is, and its recovery codes are the ones that count."""
    user = await identity.create()
    setups = [await identity.generate_totp(user) for _ in range(5)]
    secrets = [setup.secret.get_secret_value() for setup in setups]
    outcomes = await asyncio.gather(
        *(outcome(identity.enable_totp(user, secret, identity.totp(secret))) for secret in secrets)
    )
    assert sorted(outcomes) == ["conflict"] * 4 + ["ok"]
    winner = outcomes.index("ok")
    for number, setup in enumerate(setups):
        code = setup.recovery_codes[0].get_secret_value()
        assert await outcome(inline(identity, code)) == ("ok" if number == winner else "wrong_code")


async def test_replay(identity: Identity) -> None:
    """A code that was used is refused, also one of an earlier step and the one that enabled the secret (row 14)."""
    user = await identity.create()
    secret = await identity.totp_secret(user)
    await identity.enable_totp(user, secret, identity.totp(secret))
    assert await outcome(inline(identity, identity.totp(secret))) == "wrong_code"
    identity.platform.clock.advance(STEP_SECONDS)
    assert await outcome(inline(identity, identity.totp(secret, steps=1))) == "ok"
    assert await outcome(inline(identity, identity.totp(secret, steps=1))) == "wrong_code"
    assert await outcome(inline(identity, identity.totp(secret))) == "wrong_code"
    identity.platform.clock.advance(2 * STEP_SECONDS)
    assert await outcome(inline(identity, identity.totp(secret))) == "ok"


async def test_replay_at_once(identity: Identity) -> None:
    """Of many who use one code at the same moment one gets in, whatever way it is asked for."""
    _, secret, _ = await enabled(identity)
    code = identity.totp(secret)
    tokens = [await identity.challenged() for _ in range(4)]
    outcomes = await asyncio.gather(
        *(outcome(inline(identity, code)) for _ in range(4)),
        *(outcome(identity.answer("second_factor", token, code)) for token in tokens),
    )
    assert sorted(outcomes) == ["ok"] + ["wrong_code"] * 7


async def test_recovery_code(identity: Identity) -> None:
    """A recovery code lets its user in once, however it is typed, and the others go on counting."""
    _, _, codes = await enabled(identity)
    recognised = await inline(identity, codes[3].lower().replace("-", " "))
    assert recognised.methods == ["pwd", "otp", "mfa"]
    assert await outcome(inline(identity, codes[3])) == "wrong_code"
    outcomes = await asyncio.gather(*(outcome(inline(identity, codes[4])) for _ in range(6)))
    assert sorted(outcomes) == ["ok"] + ["wrong_code"] * 5


async def test_recovery_code_is_no_password(identity: Identity) -> None:
    """Neither a recovery code nor a TOTP code gets anybody in without the password."""
    _, secret, codes = await enabled(identity)
    assert await outcome(identity.authenticate(EMAIL, codes[0])) == "wrong_password"
    assert await outcome(identity.authenticate(EMAIL, identity.totp(secret))) == "wrong_password"
    assert await outcome(inline(identity, identity.totp(secret), secret="wrong")) == "wrong_password"
    assert await outcome(inline(identity, identity.totp(secret))) == "ok"  # it was not spent


async def test_recovery_codes_are_another_users(identity: Identity) -> None:
    """A recovery code is worth nothing with another user's password."""
    _, _, codes = await enabled(identity)
    await identity.create(email="other@example.com", totp_secret=TOTP_SECRET)
    assert await outcome(inline(identity, codes[0], "other@example.com")) == "wrong_code"
    assert await outcome(inline(identity, codes[0])) == "ok"


@pytest.mark.parametrize("by_recovery_code", [False, True])
async def test_turned_off(identity: Identity, by_recovery_code: bool) -> None:
    """TOTP is turned off by a code of either kind; the secret and the recovery codes are gone with it."""
    user, secret, codes = await enabled(identity)
    assert await outcome(disable(identity, user, "000000")) == "wrong_code"
    await disable(identity, user, codes[0] if by_recovery_code else identity.totp(secret))
    assert (await identity.authenticate(EMAIL)).methods == ["pwd"]
    assert await outcome(disable(identity, user, codes[1])) == "not_found"
    assert await identity.platform.database.fetchval("SELECT count(*) FROM identity.recovery_codes") == 0


@pytest.mark.parametrize("gone", ["suspended", "deleted"])
async def test_users_who_are_gone(identity: Identity, gone: str) -> None:
    """For a user who is suspended or deleted nothing is generated, enabled or turned off."""
    user = await identity.create()
    secret = await identity.totp_secret(user)
    if gone == "suspended":
        await identity.suspend(EMAIL)
    else:
        await identity.delete(EMAIL)
    assert await outcome(identity.generate_totp(user)) == "not_found"
    assert await outcome(identity.enable_totp(user, secret, identity.totp(secret))) == "not_found"
    assert await outcome(disable(identity, user, identity.totp(secret))) == "not_found"


async def test_deleted_with_the_user(identity: Identity) -> None:
    """Nothing is left of a deleted user's second factor."""
    await enabled(identity)
    await identity.delete(EMAIL)
    for table in ("totp", "recovery_codes"):
        assert await identity.platform.database.fetchval(f"SELECT count(*) FROM identity.{table}") == 0


async def test_nothing_readable_is_kept(identity: Identity) -> None:
    """Neither the secret nor a recovery code can be read from the database."""
    user, secret, codes = await enabled(identity)
    kept = ""
    for table in ("users", "totp", "recovery_codes", "outbox"):
        rows = await identity.platform.database.fetch(f"SELECT t::text AS row FROM identity.{table} t")
        kept += "".join(row["row"] for row in rows)
    assert str(user.id) in kept
    raw = [secret, *codes, *(code.replace("-", "") for code in codes)]
    assert not any(text in kept or text.encode().hex() in kept for text in raw)


async def test_another_secret_key(platform: Platform) -> None:
    """Under another key no stored secret can be read: a sign-in fails, and no code is taken for the right one."""
    async with platform.running() as identity:
        await identity.create(totp_secret=TOTP_SECRET)
    async with platform.running(secret_key=SECRET_KEY[::-1]) as identity:
        assert await outcome(inline(identity, identity.totp())) == "internal"


async def test_asked_for_everywhere(identity: Identity) -> None:
    """No way of signing in skips the second factor: not another name, a sign-in code, or a caller that has no way."""
    await identity.create(totp_secret=TOTP_SECRET)
    for name in (EMAIL, PHONE, USERNAME):
        assert await outcome(identity.authenticate(name)) == "second_factor_required"
        assert await outcome(identity.authenticate(name, "wrong")) == "wrong_password"
    await identity.send_code(email=EMAIL)
    assert await outcome(identity.authenticate(EMAIL, CODE)) == "second_factor_required"


@pytest.mark.parametrize("code", ["", " ", "12345", "1234567", "abcdef", "\0", "１２３４５６", "9" * 10_000])
async def test_any_text_as_a_code(identity: Identity, code: str) -> None:
    """Whatever is typed as a code is wrong, or missing, and nothing worse."""
    await identity.create(totp_secret=TOTP_SECRET)
    assert await outcome(inline(identity, code)) == ("wrong_code" if code else "second_factor_required")


async def test_set_by_an_operator(identity: Identity) -> None:
    """A secret that an operator brings along counts, and operators take away what was lost."""
    await identity.create(totp_secret="jbsw y3dp ehpk 3pxp", email_second_factor=True)
    assert (await inline(identity, identity.totp())).user.second_factors == ["totp", "email"]
    changed = await identity.callers["operator"].call(SetSecondFactors(identifier=USERNAME, remove_totp=True))
    assert changed.second_factors == ["email"]
    changed = await identity.callers["operator"].call(SetSecondFactors(identifier=PHONE, email=False))
    assert changed.second_factors == []
    assert (await identity.authenticate(EMAIL)).methods == ["pwd"]
    nobody = SetSecondFactors(identifier="nobody", email=True)
    assert await outcome(identity.callers["operator"].call(nobody)) == "not_found"


async def test_replaced_with_the_user(identity: Identity) -> None:
    """Replacing a user replaces the second factors: what is not given is off."""
    await enabled(identity)
    replaced = await identity.create(replace=True, totp_secret=TOTP_SECRET)
    assert replaced.second_factors == ["totp"]
    assert await outcome(inline(identity, identity.totp())) == "ok"
    assert (await identity.create(replace=True)).second_factors == []
    assert await identity.platform.database.fetchval("SELECT count(*) FROM identity.recovery_codes") == 0


@pytest.mark.parametrize("given", [{"totp_secret": "short"}, {"username": "other", "email_second_factor": True}])
async def test_created_with_what_cannot_be(identity: Identity, given: dict[str, Any]) -> None:
    """A user whose second factor could not be proved is not created, and no password is kept."""
    assert await outcome(identity.create(**given)) == "invalid_request"
    assert identity.platform.password.kept == {}
