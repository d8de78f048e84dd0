"""Passwords that are forgotten, or old: who may replace one, and what a stranger learns by trying."""

import asyncio
import unicodedata
from uuid import uuid4  # noqa: TID251 - tests need fresh ids only

import pytest
from pydantic import SecretStr

from services.identity.domain import reset_links
from shared.bus.messages import Done
from shared.contracts.identity import ChangePassword, RequestPasswordReset, ResetPassword, User
from shared.errors import Error, ErrorCode
from tests.integration.identity.conftest import (
    CODE,
    EMAIL,
    LINK_CODE,
    NEW_PASSWORD,
    PASSWORD,
    PHONE,
    TOTP_SECRET,
    USERNAME,
    Identity,
    Platform,
    outcome,
)

SPELLED = "ein Satz, den sonst niemand wählt"
RESET_URL = "https://app.example.com/reset?lang=de#form"
CREATED, CHANGED = "identity.user_created.v1", "identity.password_changed.v1"


async def request(identity: Identity, identifier: str = EMAIL, reset_url: str | None = None) -> Done:
    """Say that one has forgotten the password."""
    call = RequestPasswordReset(identifier=identifier, reset_url=reset_url)
    return await identity.callers["gateway"].call(call)


async def reset(identity: Identity, proof: str, password: str = NEW_PASSWORD, identifier: str | None = EMAIL) -> Done:
    """Set a new password by what was mailed; with a link's token the identifier is None."""
    call = ResetPassword(identifier=identifier, proof=SecretStr(proof), new_password=SecretStr(password))
    return await identity.callers["gateway"].call(call)


async def change(identity: Identity, user: User, old: str = PASSWORD, new: str = NEW_PASSWORD) -> Done:
    """Replace the password by knowing it."""
    call = ChangePassword(user_id=user.id, password=SecretStr(old), new_password=SecretStr(new))
    return await identity.callers["gateway"].call(call)


def link_token(identity: Identity) -> str:
    """The token of the link that was mailed last."""
    link = identity.platform.otp.issued[-1].link
    assert link is not None
    return link.partition("token=")[2].partition("#")[0].replace("{code}", LINK_CODE)


@pytest.mark.parametrize("identifier", [EMAIL, USERNAME, "SOMEONE@example.com", PHONE])
async def test_by_code(identity: Identity, identifier: str) -> None:
    """A code goes to the user's e-mail address, whichever name is used, and replaces the password once."""
    user = await identity.create()
    await request(identity, identifier)
    (issued,) = identity.platform.otp.issued
    assert (issued.account, issued.purpose, issued.channel) == (f"user:{user.id}", "password_reset", "email")
    assert (issued.address, issued.deliver, issued.link) == (EMAIL, True, None)
    await reset(identity, CODE, identifier=identifier)
    assert await outcome(identity.authenticate(EMAIL)) == "wrong_password"
    assert await outcome(identity.authenticate(EMAIL, NEW_PASSWORD)) == "ok"
    assert await outcome(reset(identity, CODE, PASSWORD)) == "wrong_code"


async def test_by_link(identity: Identity) -> None:
    """A link leads to the page that was named, with a token that replaces the password once, without any name."""
    user = await identity.create()
    await request(identity, reset_url=RESET_URL)
    (issued,) = identity.platform.otp.issued
    assert (issued.account, issued.purpose) == (f"user:{user.id}", "password_reset_link")
    assert issued.link is not None
    assert issued.link.startswith("https://app.example.com/reset?lang=de&token=")
    assert issued.link.endswith(".{code}#form")
    await reset(identity, link_token(identity), identifier=None)
    assert await outcome(identity.authenticate(EMAIL, NEW_PASSWORD)) == "ok"
    assert await outcome(reset(identity, link_token(identity), PASSWORD, identifier=None)) == "wrong_code"


@pytest.mark.parametrize("how", ["by code", "by link", "by knowing it"])
async def test_old_mail_resets_nothing(identity: Identity, how: str) -> None:
    """Once the password was replaced in any way, the codes and links that were mailed before are wrong ones."""
    user = await identity.create()
    await request(identity)
    await request(identity, reset_url=RESET_URL)
    old_link = link_token(identity)
    identity.platform.clock.advance(1)
    if how == "by code":
        await reset(identity, CODE)
    elif how == "by link":
        await reset(identity, old_link, identifier=None)
    else:
        await change(identity, user)
    assert await outcome(reset(identity, CODE, PASSWORD)) == "wrong_code"
    assert await outcome(reset(identity, old_link, PASSWORD, None)) == "wrong_code"
    assert identity.platform.password.kept[user.id] == NEW_PASSWORD
    identity.platform.clock.advance(1)
    await request(identity)
    assert await outcome(reset(identity, CODE, PASSWORD)) == "ok"


async def test_same_steps_for_everybody(identity: Identity) -> None:
    """Asking for a user, a suspended one, one without an address and nobody at all differs in the sending alone."""
    await identity.create()
    await identity.create(email="suspended@example.com")
    await identity.suspend("suspended@example.com")
    await identity.create(username="nomail")
    user = await identity.create(email="renew@example.com", must_change_password=True)
    names = (
        EMAIL,
        "renew@example.com",
        "suspended@example.com",
        "nomail",
        "nobody@example.com",
        "nobody",
        "",
        "\0",
        "@",
    )
    for url in (None, RESET_URL):
        issued = identity.platform.otp.issued
        issued.clear()
        assert [await request(identity, name, url) for name in (*names, str(user.id))] == [Done()] * 10
        assert [call.deliver for call in issued] == [True, True] + [False] * 8
        assert len({(call.purpose, call.channel, len(call.link or "")) for call in issued}) == 1
        assert all(call.account.startswith("nobody:") != call.deliver for call in issued)
        assert issued[4].address == "nobody@example.com"


async def test_mail_not_set_up(identity: Identity) -> None:
    """Where no mail can be sent everybody is told so, user or not."""
    await identity.create()

    async def refuse(_call: object) -> None:
        raise Error(ErrorCode.FEATURE_DISABLED, "codes by email are not set up")

    identity.platform.otp.before_issue = refuse
    assert [await outcome(request(identity, name)) for name in (EMAIL, "nobody")] == ["feature_disabled"] * 2


async def test_wrong_codes(identity: Identity) -> None:
    """A wrong code, a user who never asked, a suspended one and nobody are refused in the same words."""
    await identity.create()
    await identity.create(email="other@example.com")
    await request(identity)
    for name in (EMAIL, "other@example.com", "nobody@example.com", "nobody", ""):
        assert await outcome(reset(identity, "000000", identifier=name)) == "wrong_code"
        assert await outcome(reset(identity, CODE, identifier=name)) == ("ok" if name == EMAIL else "wrong_code")
    await request(identity)
    await identity.suspend(EMAIL)
    assert await outcome(reset(identity, CODE, PASSWORD)) == "wrong_code"
    assert PASSWORD in identity.platform.password.kept.values()


async def test_expired_code(identity: Identity) -> None:
    """That a code has expired is told, since only its holder could know."""
    await identity.create()
    identity.platform.otp.refusal = ErrorCode.CODE_EXPIRED
    assert await outcome(reset(identity, CODE)) == "code_expired"


@pytest.mark.parametrize("weak", ["short", "", EMAIL, USERNAME])
async def test_weak_password_spends_nothing(identity: Identity, weak: str) -> None:
    """A weak password says why, before the code or the link is spent or an attempt is counted as failed."""
    user = await identity.create()
    await request(identity)
    await request(identity, reset_url=RESET_URL)
    for _ in range(12):
        for proof, identifier in ((CODE, EMAIL), ("000000", EMAIL), ("000000", "nobody"), (link_token(identity), None)):
            with pytest.raises(Error) as caught:
                await reset(identity, proof, "short" if identifier == "nobody" else weak, identifier)
            assert (caught.value.code, caught.value.detail) == (ErrorCode.WEAK_PASSWORD, {"reasons": ["too_short"]})
        assert await outcome(change(identity, user, new=weak)) == "weak_password"
    assert not [call for call in identity.platform.otp.checked if call.spend]
    assert await outcome(reset(identity, link_token(identity), identifier=None)) == "ok"
    assert await outcome(reset(identity, CODE, PASSWORD)) == "ok"


@pytest.mark.parametrize("name", ["someone.else@example.com", "+498912345678901", "a.long.username.of.mine"])
async def test_policy_tells_strangers_no_names(identity: Identity, name: str) -> None:
    """That a password is one of the user's names is told to whoever has the code or the link, and to nobody else."""
    kind = "email" if "@" in name else "phone" if name.startswith("+") else "username"
    names = {"email": EMAIL, "username": USERNAME} | {kind: name}
    await identity.create(**names)
    typed = names["username" if kind == "email" else "email"]
    await request(identity, typed)
    await request(identity, typed, RESET_URL)
    link = link_token(identity)
    forged = link[:-1] + "y"
    for wrong in ("000000", "111111"):
        assert await outcome(reset(identity, wrong, name, typed)) == "wrong_code"
        assert await outcome(reset(identity, wrong, name, "nobody.at.all@example.com")) == "wrong_code"
        assert await outcome(reset(identity, forged, name, None)) == "wrong_code"
    assert await outcome(reset(identity, CODE, name, typed)) == "weak_password"
    assert await outcome(reset(identity, link, name, None)) == "weak_password"
    assert await outcome(reset(identity, CODE, NEW_PASSWORD, typed)) == "ok"


async def test_typed_names_are_judged_in_every_spelling(identity: Identity) -> None:
    """A password that is the name just typed, in its canonical form too, is weak for users and for nobody alike."""
    await identity.create(email="known.person@example.com")
    for name in ("known.person@example.com", "other.person@example.com"):
        assert await outcome(reset(identity, "000000", name, f" {name.upper()}")) == "weak_password"


async def test_names_that_a_strangers_password_must_not_be(identity: Identity) -> None:
    """For somebody who does not exist the name that was given is judged, as it is for a user."""
    assert (
        await outcome(reset(identity, CODE, "nobody.at.all@example.com", "nobody.at.all@example.com"))
        == "weak_password"
    )
    assert await outcome(reset(identity, CODE, NEW_PASSWORD, "nobody.at.all@example.com")) == "wrong_code"


async def test_forged_links(identity: Identity) -> None:
    """A token that we never made is no token, and one of another user, or of nobody, is a wrong code."""
    user = await identity.create()
    other = await identity.create(email="other@example.com")
    await request(identity, reset_url=RESET_URL)
    handles = [
        reset_links.link("https://x/", holder).partition("=")[2].partition(".")[0] for holder in (other.id, uuid4())
    ]
    for handle in handles:
        assert await outcome(reset(identity, f"{handle}.{LINK_CODE}", identifier=None)) == "wrong_code"
    for token in ("", LINK_CODE, CODE, f"{user.id}.{LINK_CODE}", link_token(identity) + "=", "a.b.c"):
        assert await outcome(reset(identity, token, identifier=None)) == "invalid_token"
    assert await outcome(reset(identity, link_token(identity)[:-1] + "y", identifier=None)) == "wrong_code"
    assert set(identity.platform.password.kept.values()) == {PASSWORD}
    assert await outcome(reset(identity, link_token(identity), identifier=None)) == "ok"
    assert identity.platform.password.kept == {user.id: NEW_PASSWORD, other.id: PASSWORD}


async def test_proofs_are_not_taken_for_one_another(identity: Identity) -> None:
    """A sign-in code, a second factor's code and a link's code reset nothing by name; a reset code does not sign in."""
    user = await identity.create(email_second_factor=True)
    await identity.send_code(email=EMAIL)
    await identity.challenged()
    await request(identity, reset_url=RESET_URL)
    assert await outcome(reset(identity, CODE)) == "wrong_code"
    assert await outcome(reset(identity, LINK_CODE)) == "wrong_code"
    assert await outcome(reset(identity, link_token(identity))) == "wrong_code"
    identity.platform.otp.live = {(f"user:{user.id}", "password_reset"): CODE}
    assert await outcome(identity.authenticate(EMAIL, CODE)) == "wrong_password"
    handle = link_token(identity).partition(".")[0]
    assert await outcome(reset(identity, f"{handle}.{'0' * 16}", identifier=None)) == "wrong_code"


@pytest.mark.parametrize("how", ["suspended", "deleted"])
async def test_link_of_somebody_who_is_gone(identity: Identity, how: str) -> None:
    """A link that was mailed before the user was suspended or deleted sets no password."""
    await identity.create()
    await request(identity, reset_url=RESET_URL)
    await (identity.suspend(EMAIL) if how == "suspended" else identity.delete(EMAIL))
    assert await outcome(reset(identity, link_token(identity), identifier=None)) == "wrong_code"
    assert set(identity.platform.password.kept.values()) == {PASSWORD}


async def test_reset_ends_a_forced_change(identity: Identity) -> None:
    """Who had to change the password has done so by resetting it."""
    await identity.create(must_change_password=True)
    await request(identity)
    await reset(identity, CODE)
    assert (await identity.authenticate(EMAIL, NEW_PASSWORD)).user.state == "active"


async def test_reset_keeps_the_second_factor(identity: Identity) -> None:
    """Who resets a password still has to prove the second factor at the next sign-in."""
    await identity.create(totp_secret=TOTP_SECRET)
    await request(identity)
    await reset(identity, CODE)
    assert await outcome(identity.authenticate(EMAIL, NEW_PASSWORD)) == "second_factor_required"


@pytest.mark.parametrize(("factor", "expected"), [({}, "ok"), ({"totp_secret": TOTP_SECRET}, "too_many_attempts")])
async def test_reset_by_link_ends_the_delay(identity: Identity, factor: dict[str, str], expected: str) -> None:
    """Somebody else's guesses don't keep the owner of the mailbox out, while a second factor can't be guessed by it."""
    await identity.create(**factor)
    for _ in range(10):
        await outcome(identity.authenticate(EMAIL, "wrong"))
    await request(identity)
    await request(identity, reset_url=RESET_URL)
    assert await outcome(reset(identity, CODE)) == "too_many_attempts"
    assert await outcome(reset(identity, link_token(identity), identifier=None)) == "ok"
    assert await outcome(identity.authenticate(EMAIL, NEW_PASSWORD)) == expected


async def test_changed(identity: Identity) -> None:
    """Who knows the password replaces it; the old one is dead at once."""
    user = await identity.create()
    assert await outcome(change(identity, user, "wrong")) == "wrong_password"
    await change(identity, user)
    assert await outcome(change(identity, user)) == "wrong_password"
    assert await outcome(identity.authenticate(EMAIL)) == "wrong_password"
    assert await outcome(identity.authenticate(EMAIL, NEW_PASSWORD)) == "ok"


@pytest.mark.parametrize("same", [SPELLED, unicodedata.normalize("NFD", SPELLED)])
async def test_changed_to_itself(identity: Identity, same: str) -> None:
    """The old password is no new one, however its letters are composed; only who knows it is told so, and uncounted."""
    user = await identity.create(password=SPELLED)
    for _ in range(12):
        with pytest.raises(Error) as caught:
            await change(identity, user, SPELLED, same)
        assert (caught.value.code, caught.value.detail) == (ErrorCode.WEAK_PASSWORD, {"reasons": ["same_as_before"]})
    assert await outcome(change(identity, user, NEW_PASSWORD, NEW_PASSWORD)) == "wrong_password"
    assert await outcome(change(identity, user, SPELLED)) == "ok"


async def test_reset_to_the_same(identity: Identity) -> None:
    """Who has forgotten a password may find that it was the one now chosen."""
    await identity.create()
    await request(identity)
    assert await outcome(reset(identity, CODE, PASSWORD)) == "ok"


async def test_changed_at_once(identity: Identity) -> None:
    """Of several changes with the same old password at the same moment at least one succeeds and one password holds."""
    user = await identity.create()
    passwords = [f"a sentence numbered {n}" for n in range(5)]
    outcomes = await asyncio.gather(*(outcome(change(identity, user, new=new)) for new in passwords))
    assert "ok" in outcomes
    assert set(outcomes) <= {"ok", "wrong_password"}
    signed_in = [await outcome(identity.authenticate(EMAIL, password)) for password in (PASSWORD, *passwords)]
    assert signed_in.count("ok") == 1


async def test_changing_for_those_who_are_gone(identity: Identity) -> None:
    """A suspended user changes nothing, and a deleted one is not there."""
    user = await identity.create()
    await identity.suspend(EMAIL)
    assert await outcome(change(identity, user)) == "user_suspended"
    await identity.delete(EMAIL)
    assert await outcome(change(identity, user)) == "not_found"
    assert set(identity.platform.password.kept.values()) == {PASSWORD}


@pytest.mark.parametrize(("password_tells", "told"), [(True, []), (False, [CHANGED] * 3)], ids=["now", "before"])
async def test_changes_are_told_once(identity: Identity, password_tells: bool, told: list[str]) -> None:
    """Each change of a password is told by `password`, or here where an earlier version of it does not."""
    identity.platform.password.tells = password_tells
    user = await identity.create()
    identity.platform.clock.advance(1)
    await request(identity)
    await reset(identity, CODE)
    await request(identity, reset_url=RESET_URL)
    await reset(identity, link_token(identity), PASSWORD, None)
    await change(identity, user)
    assert await identity.told() == [CREATED, *told]


async def test_password_service_away(platform: Platform) -> None:
    """While passwords cannot be set nothing is spent."""
    async with platform.running() as identity:
        user = await identity.create()
        await request(identity)
    async with platform.running(with_password=False) as identity:
        assert await outcome(reset(identity, CODE)) == "unavailable"
        assert await outcome(change(identity, user)) == "unavailable"
    async with platform.running() as identity:
        assert await outcome(reset(identity, CODE)) == "ok"


async def test_process_that_dies_in_between(platform: Platform) -> None:
    """When only the password was set, its user does what is due once more, with the new one."""
    async with platform.running() as identity:
        user = await identity.create(must_change_password=True)
        platform.password.kept[user.id] = NEW_PASSWORD  # where the process died before the state was changed
        token = await identity.challenged(secret=NEW_PASSWORD)
        met = await identity.answer("new_password", token, "a third sentence altogether")
        assert met.user.state == "active"
