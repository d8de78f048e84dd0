"""Codes from being asked for to being spent."""

import asyncio
import socket
from collections import Counter
from uuid import UUID

import pytest
from redis.asyncio import Redis

from services.otp.codes import Codes
from services.otp.settings import OtpSettings
from shared.contracts.otp import CheckCode
from shared.errors import Error, ErrorCode
from shared.settings import decode_key
from tests.integration.otp.conftest import ACCOUNT, EMAIL, PHONE, Otp, Platform, code_in, other_than


async def test_a_code_works_once(otp: Otp) -> None:
    """A code arrives by e-mail, signs in, and is worth nothing afterwards."""
    issued = await otp.issue()
    code = await otp.code()
    lives = issued.expires_at - otp.platform.clock.now()
    assert lives.total_seconds() == pytest.approx(600, abs=0.001)
    assert await otp.check(code) == "ok"
    assert await otp.check(code) == "wrong_code"


async def test_a_code_arrives_by_sms(otp: Otp) -> None:
    """A code asked for by phone number comes as a text message and works in the same way."""
    await otp.issue(address=PHONE, channel="sms")
    assert await otp.check(await otp.code(address=PHONE)) == "ok"


async def test_a_code_counts_for_its_own_account_alone(otp: Otp) -> None:
    """Somebody else's code is a wrong code, and stays good for its owner."""
    await otp.issue()
    await otp.issue("another", "another@example.com")
    code = await otp.code()
    assert await otp.check(code, "another") == "wrong_code"
    assert await otp.check(code) == "ok"


async def test_without_a_code_every_code_is_wrong(otp: Otp) -> None:
    """Guessing at an account that asked for none fails, and costs its owner no attempt."""
    for _ in range(20):
        assert await otp.check("123456") == "wrong_code"
    await otp.issue()
    assert await otp.check(await otp.code()) == "ok"


async def test_a_code_expires(otp: Otp) -> None:
    """A right code that comes too late is told from a wrong one, until it is forgotten."""
    await otp.issue()
    code = await otp.code()
    otp.platform.clock.advance(599)
    assert await otp.check(other_than(code)) == "wrong_code"
    otp.platform.clock.advance(1)
    assert await otp.check(code) == "code_expired"


async def test_a_lost_answer_causes_no_second_message(otp: Otp) -> None:
    """The same request within 10 s is answered in the same way, and one message is sent, however many come at once."""
    answers = await asyncio.gather(*(otp.issue() for _ in range(20)))
    otp.platform.clock.advance(9)
    answers.append(await otp.issue())
    assert len(set(answers)) == 1
    assert otp.counted("codes_issued_total", channel="email") == 1
    await otp.delivered("sent")
    assert len(otp.received()) == 1


async def test_asking_again_within_a_minute_sends_the_same_code(otp: Otp) -> None:
    """Whoever waits in vain gets the same code with the first expiry, so that the late message counts too."""
    first = await otp.issue()
    otp.platform.clock.advance(30)
    second = await otp.issue()
    one, two = map(code_in, await otp.messages(2))
    assert one == two
    assert first == second


async def test_asking_again_after_a_minute_makes_a_new_code(otp: Otp) -> None:
    """Only the code issued last counts."""
    await otp.issue()
    await otp.messages(1)
    otp.platform.clock.advance(61)
    await otp.issue()
    old, new = map(code_in, await otp.messages(2))
    assert old != new
    assert await otp.check(old) == "wrong_code"
    assert await otp.check(new) == "ok"


async def test_the_same_code_goes_to_another_address_at_once(otp: Otp) -> None:
    """Whoever asks by e-mail and then by SMS gets both messages, with one code."""
    await otp.issue()
    await otp.issue(address=PHONE, channel="sms")
    assert await otp.code() == await otp.code(address=PHONE)


async def test_a_used_code_is_not_sent_again(otp: Otp) -> None:
    """After a sign-in the next request makes a new code, within the minute too."""
    await otp.issue()
    code = await otp.code()
    assert await otp.check(code) == "ok"
    await otp.issue()
    assert await otp.code(2) != code


async def test_five_hundred_guesses_at_once_are_five(otp: Otp) -> None:
    """However many guesses arrive together, five are compared and then the code is dead."""
    await otp.issue()
    code = await otp.code()
    guesses = [f"{number:06d}" for number in range(501) if f"{number:06d}" != code][:500]
    outcomes = Counter(await asyncio.gather(*(otp.check(guess) for guess in guesses)))
    assert outcomes == {"wrong_code": 5, "too_many_attempts": 495}
    assert await otp.check(code) == "too_many_attempts"


async def test_fifty_right_answers_at_once_are_one(otp: Otp) -> None:
    """A code sent fifty times at once signs in once."""
    await otp.issue()
    code = await otp.code()
    outcomes = Counter(await asyncio.gather(*(otp.check(code) for _ in range(50))))
    assert outcomes == {"ok": 1, "wrong_code": 49}


async def test_an_account_has_five_attempts_an_hour(otp: Otp) -> None:
    """New codes bring no new attempts; the answer says when the next one counts."""
    await otp.issue()
    code = await otp.code()
    for _ in range(4):
        assert await otp.check(other_than(code)) == "wrong_code"
    otp.platform.clock.advance(61)
    await otp.issue()
    code = await otp.code(2)
    assert await otp.check(other_than(code)) == "wrong_code"
    assert await otp.check(code) == "too_many_attempts"
    otp.platform.clock.advance(3600 - 62)
    await otp.issue()
    assert await otp.check(await otp.code(3)) == "too_many_attempts"
    otp.platform.clock.advance(62)
    await otp.issue()
    assert await otp.check(await otp.code(4)) == "ok"


async def test_the_refusal_says_when_to_come_back(otp: Otp) -> None:
    """With the hour's attempts gone the caller learns the seconds until the next one."""
    await otp.issue()
    for _ in range(5):
        await otp.check("000000")
    otp.platform.clock.advance(100)
    await otp.issue()
    with pytest.raises(Error) as refused:
        await otp.call(CheckCode(account=ACCOUNT, purpose="sign_in", code="000000"))
    assert refused.value.code == ErrorCode.TOO_MANY_ATTEMPTS
    assert refused.value.retry_after == 3500


async def test_right_codes_cost_no_attempts(otp: Otp) -> None:
    """Signing in often locks nobody out."""
    for count in range(1, 9):
        await otp.issue()
        assert await otp.check(await otp.code(count)) == "ok"


async def test_what_looks_like_no_code_costs_no_attempt(otp: Otp) -> None:
    """A password typed into the field of the code does not use up its attempts."""
    await otp.issue()
    for text in ("hunter2", "12345", "1234567", "", "１２３４５６") * 3:
        assert await otp.check(text) == "wrong_code"
    assert await otp.check(await otp.code()) == "ok"


async def test_a_decoy_looks_the_same_and_never_counts(otp: Otp) -> None:
    """For an address that nobody has the answers are those of a code that was sent, and no code is right."""
    real = await otp.issue()
    decoy = await otp.issue("nobody", "nobody@example.com", deliver=False)
    assert decoy == real
    await otp.delivered("skipped")
    await otp.delivered("sent")
    assert not otp.received("nobody@example.com")
    outcomes = [[await otp.check("000000", account) for _ in range(7)] for account in (ACCOUNT, "nobody")]
    assert outcomes[0] == outcomes[1]


async def test_the_right_code_of_a_decoy_is_refused(otp: Otp) -> None:
    """Even the code that a decoy would have had does not sign in."""
    await otp.issue(deliver=False)
    settings = OtpSettings.load(otp.platform.settings)
    codes = Codes(decode_key(settings.code_key), settings.code_digits)
    key = f"{settings.redis_prefix}otp:{{{codes.account_name(ACCOUNT)}}}:code:sign_in"
    async with Redis.from_url(settings.redis_url.get_secret_value(), decode_responses=True) as redis:
        code_id = await redis.hget(key, "id")
    assert isinstance(code_id, str)
    assert await otp.check(codes.code("sign_in", UUID(code_id))) == "wrong_code"


async def test_a_decoy_and_a_real_code_do_not_take_each_others_place(otp: Otp) -> None:
    """When a user comes to be, or goes, between two requests, the last request decides whether a code counts."""
    await otp.issue(deliver=False)
    await otp.issue()
    real = await otp.code()
    await otp.issue(deliver=False)
    assert await otp.check(real) == "wrong_code"


async def test_without_redis_codes_are_refused(platform: Platform) -> None:
    """With the store of codes gone no code is made and none is accepted, and readiness says so."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with platform.running(redis_url=f"redis://127.0.0.1:{unused.getsockname()[1]}") as otp:
            with pytest.raises(Error) as refused:
                await otp.issue()
            assert refused.value.code == ErrorCode.UNAVAILABLE
            assert await otp.check("123456") == "unavailable"
            assert (await otp.kit.health.report())["redis"] != "ok"
            assert otp.counted("checks_total", outcome="unavailable") == 1


async def test_without_the_database_no_code_is_made_but_those_sent_count(platform: Platform) -> None:
    """A code that was delivered before the database went away still signs in."""
    async with platform.running() as otp:
        await otp.issue()
        code = await otp.code()
        await otp.delivered("sent")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with platform.running(postgres_url=f"postgres://127.0.0.1:{unused.getsockname()[1]}/x") as otp:
            with pytest.raises(Error) as refused:
                await otp.issue()
            assert refused.value.code == ErrorCode.UNAVAILABLE
            assert await otp.check(code) == "ok"


async def test_a_request_that_failed_half_way_is_made_good(platform: Platform) -> None:
    """When the code was made but could not be queued, asking again at once sends it."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with platform.running(postgres_url=f"postgres://127.0.0.1:{unused.getsockname()[1]}/x") as otp:
            with pytest.raises(Error):
                await otp.issue()
    async with platform.running() as otp:
        await otp.issue()
        assert await otp.check(await otp.code()) == "ok"


async def test_a_channel_that_is_not_set_up_is_told_as_such(platform: Platform) -> None:
    """An installation without an SMS provider says so, instead of asking to try again later."""
    async with platform.running(sms_url="") as otp:
        for deliver in (True, False):
            with pytest.raises(Error) as refused:
                await otp.issue(address=PHONE, channel="sms", deliver=deliver)
            assert refused.value.code == ErrorCode.FEATURE_DISABLED


async def test_a_malformed_address_is_refused(otp: Otp) -> None:
    """Nothing is sent to two receivers at once."""
    with pytest.raises(Error) as refused:
        await otp.issue(address=f"{EMAIL}, other@example.com")
    assert refused.value.code == ErrorCode.INVALID_REQUEST
