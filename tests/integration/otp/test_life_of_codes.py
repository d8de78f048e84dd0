"""How long a code lives that is asked for with a life of its own."""

import re
from datetime import timedelta

import pytest

from deploy.inbox.mailbox import Message
from shared.contracts.otp import CodeIssued, IssueCode, Purpose
from shared.errors import Error, ErrorCode
from tests.integration.otp.conftest import ACCOUNT, EMAIL, PHONE, Otp, Platform

LINK = "https://id.example.com/reset?token={code}"


async def issue(otp: Otp, ttl_seconds: int | None, purpose: Purpose = "sign_in", link: str | None = None) -> CodeIssued:
    """Ask for a code of that life."""
    call = IssueCode(
        account=ACCOUNT, purpose=purpose, channel="email", address=EMAIL, link=link, ttl_seconds=ttl_seconds
    )
    issued: CodeIssued = await otp.call(call)
    return issued


@pytest.mark.parametrize("seconds", [60, 1800])
@pytest.mark.parametrize("purpose", ["sign_in", "second_factor", "password_reset"])
async def test_a_code_lives_as_long_as_was_asked_for(platform: Platform, purpose: Purpose, seconds: int) -> None:
    """A code is good until its own life is over, whatever the service's own setting is."""
    async with platform.running(code_ttl_seconds="600") as otp:
        issued = await issue(otp, seconds, purpose)
        assert (issued.expires_at - platform.clock.now()).total_seconds() == pytest.approx(seconds, abs=0.001)
        code = await otp.code()
        platform.clock.advance(seconds)
        assert await otp.check(code, purpose=purpose) == "code_expired"
        await issue(otp, seconds, purpose)
        renewed = await otp.code(2)
        platform.clock.advance(seconds - 1)
        assert await otp.check(renewed, purpose=purpose) == "ok"


async def test_a_code_that_is_sent_again_keeps_its_life(otp: Otp) -> None:
    """Asking again while the code is sent again neither prolongs nor shortens what the first message said."""
    first = await issue(otp, 300)
    otp.platform.clock.advance(30)
    assert (await issue(otp, 1800)).expires_at == first.expires_at


@pytest.mark.parametrize("seconds", [-1, 0, 59, 1801, 10**9])
async def test_a_life_that_no_code_may_have(otp: Otp, seconds: int) -> None:
    """Codes that die on their way or live too long are not made."""
    with pytest.raises(Error) as refused:
        await issue(otp, seconds)
    assert (refused.value.code, refused.value.detail) == (ErrorCode.INVALID_REQUEST, {"field": "ttl_seconds"})


async def test_a_link_has_no_life_of_its_own(otp: Otp) -> None:
    """The life of a link is the service's own setting: asking for another one is refused rather than passed over."""
    with pytest.raises(Error) as refused:
        await issue(otp, 600, "password_reset_link", LINK)
    assert (refused.value.code, refused.value.detail) == (ErrorCode.INVALID_REQUEST, {"field": "ttl_seconds"})


@pytest.mark.parametrize(("purpose", "link"), [("password_reset", None), ("password_reset_link", LINK)])
async def test_a_code_made_too_early_is_a_wrong_one(otp: Otp, purpose: Purpose, link: str | None) -> None:
    """What was mailed before the moment that counts is refused; asked for again it is not sent, but a newer one."""
    clock = otp.platform.clock
    await otp.issue(purpose=purpose, link=link)
    clock.advance(20)
    changed = clock.now()
    clock.advance(1)
    old = secret_in((await otp.messages(1))[0])
    assert await otp.check(old, purpose=purpose, not_before=changed) == "wrong_code"
    await otp.issue(purpose=purpose, link=link, not_before=changed)
    new = secret_in((await otp.messages(2))[1])
    assert new != old
    assert await otp.check(old, purpose=purpose, not_before=changed) == "wrong_code"
    assert await otp.check(new, purpose=purpose, not_before=changed) == "ok"


async def test_a_clock_that_is_ahead_voids_no_new_code(otp: Otp) -> None:
    """What is asked for after that moment counts, although it lies ahead by the clock of whoever makes codes."""
    ahead = otp.platform.clock.now() + timedelta(minutes=2)
    for count in (1, 2):
        await otp.issue(purpose="password_reset", not_before=ahead)
        code = (await otp.messages(count))[-1]
        otp.platform.clock.advance(15)
    assert await otp.check(secret_in(code), purpose="password_reset", not_before=ahead) == "ok"


async def test_guesses_at_a_code_made_too_early_count(otp: Otp) -> None:
    """An attempt is counted before it is known that nothing could have been right."""
    await otp.issue(purpose="password_reset")
    code = await otp.code()
    otp.platform.clock.advance(1)
    now = otp.platform.clock.now()
    outcomes = [await otp.check(code, purpose="password_reset", not_before=now) for _ in range(6)]
    assert outcomes == ["wrong_code"] * 5 + ["too_many_attempts"]


async def test_a_text_message_asked_for_again_after_that_moment_is_paid_for(platform: Platform) -> None:
    """Where the budget is used up a code that counts is sent again, and one made too early is not."""
    async with platform.running(sms_daily_limit="1", repeat_seconds="60") as otp:
        await otp.issue(address=PHONE, channel="sms")
        await otp.messages(1, PHONE)
        platform.clock.advance(1)
        await otp.issue(address=PHONE, channel="sms")
        with pytest.raises(Error) as caught:
            await otp.issue(address=PHONE, channel="sms", not_before=platform.clock.now())
        assert caught.value.code == ErrorCode.OVERLOADED


def secret_in(message: Message) -> str:
    """The code that a message tells, or the one in its link."""
    found = re.search(r"token=(\S+)|\b(\d{6})\b", message.text)
    assert found is not None, message.text
    return found[1] or found[2]
