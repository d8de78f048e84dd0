"""How long a code lives that is asked for with a life of its own."""

import pytest

from shared.contracts.otp import CodeIssued, IssueCode, Purpose
from shared.errors import Error, ErrorCode
from tests.integration.otp.conftest import ACCOUNT, EMAIL, Otp, Platform

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
