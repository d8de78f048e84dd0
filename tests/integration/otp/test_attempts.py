"""What an attempt at a code costs, and whom."""

import pytest

from services.otp.codes import LINK
from shared.contracts.otp import CheckCode, Purpose
from shared.errors import Error
from tests.integration.otp.conftest import ACCOUNT, Otp, other_than


@pytest.mark.parametrize("purpose", ["sign_in", LINK])
async def test_looking_spends_nothing(otp: Otp, purpose: Purpose) -> None:
    """A right code that is only looked at is told as right, any number of times, and then works once."""
    await otp.issue(purpose=purpose, link="https://example.com/?token={code}" if purpose == LINK else None)
    text = (await otp.messages(1))[0].text
    code = text.partition("token=")[2].split()[0] if purpose == LINK else await otp.code()
    assert [await otp.check(code, purpose=purpose, spend=False) for _ in range(7)] == ["ok"] * 7
    assert await otp.check(code, purpose=purpose) == "ok"
    assert await otp.check(code, purpose=purpose, spend=False) == "wrong_code"


async def test_looking_is_an_attempt(otp: Otp) -> None:
    """Wrong codes that are only looked at use up the attempts like any others."""
    await otp.issue()
    code = await otp.code()
    assert [await otp.check(other_than(code), spend=False) for _ in range(5)] == ["wrong_code"] * 5
    assert await otp.check(code, spend=False) == "too_many_attempts"
    assert await otp.check(code) == "too_many_attempts"


async def test_strangers_guesses_leave_known_sources_their_own(otp: Otp) -> None:
    """Where an account is known its owner has five attempts, whatever strangers did, and no more than five."""
    await otp.issue()
    code = await otp.code()
    assert [await otp.check(other_than(code)) for _ in range(6)] == ["wrong_code"] * 5 + ["too_many_attempts"]
    assert [await otp.check(other_than(code), source="home") for _ in range(4)] == ["wrong_code"] * 4
    assert await otp.check(code, source="home") == "ok"
    await otp.issue()
    again = await otp.code(2)
    assert await otp.check(other_than(again), source="home") == "wrong_code"
    assert await otp.check(again, source="home") == "too_many_attempts"
    assert await otp.check(again, source="work") == "ok"


async def test_how_long_a_refused_account_waits(otp: Otp) -> None:
    """Each refusal says when an attempt counts again, also the second one at the same code."""
    await otp.issue()
    code = await otp.code()
    for _ in range(5):
        await otp.check(other_than(code))
    for waited in (0, 60):
        with pytest.raises(Error) as caught:
            await otp.call(CheckCode(account=ACCOUNT, purpose="sign_in", code=code))
        assert caught.value.retry_after == pytest.approx(3600 - waited, abs=1)
        otp.platform.clock.advance(60)
