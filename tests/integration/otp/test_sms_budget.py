"""SMS pumping (user-pains row 17): what is sent, and what it takes to have it stop."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, timedelta
from itertools import count

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from shared.clock import SystemClock
from shared.errors import Error, ErrorCode
from tests.integration.otp.conftest import PHONE, Otp, Platform, code_in, eventually

AUSTRIA, JAMAICA, NOBODYS = "+436641234567", "+18765550123", "+999123456789"
NO_RATIO = {"sms_min_verified_ratio": "0"}


@pytest.fixture(autouse=True)
def _in_the_morning(platform: Platform) -> None:
    """Begin two hours into a day to come, so that no test crosses midnight unless it means to."""
    tomorrow = SystemClock().now().astimezone(UTC) + timedelta(days=2)
    begin = tomorrow.replace(hour=2, minute=0, second=0, microsecond=0)
    platform.clock.advance((begin - platform.clock.now()).total_seconds())


@pytest.fixture
def numbers() -> Iterator[str]:
    """German numbers, each of them another one."""
    return (f"+49151{number:08d}" for number in count(10_000_000))


async def ask(otp: Otp, number: str, *, deliver: bool = True) -> str:
    """Ask for a code by SMS for the account of a number; "ok", or the code of the error."""
    try:
        await otp.issue(f"phone:{number}", number, "sms", deliver=deliver)
    except Error as error:
        return error.code
    return "ok"


async def refusal(otp: Otp, number: str, *, deliver: bool = True) -> tuple[ErrorCode, str, float | None]:
    """Ask where nothing may be sent; how that is told."""
    with pytest.raises(Error) as refused:
        await otp.issue(f"phone:{number}", number, "sms", deliver=deliver)
    return refused.value.code, refused.value.message, refused.value.retry_after


async def use(otp: Otp, number: str) -> None:
    """Sign in with the code that came to a number."""
    assert await otp.check(await otp.code(address=number), f"phone:{number}") == "ok"


def outcomes(otp: Otp, outcome: str, prefix: str = "+49") -> float:
    """How often this was the outcome for a calling code."""
    return otp.counted("sms_budget_total", prefix=prefix, outcome=outcome)


async def test_messages_go_to_allowed_prefixes_alone(platform: Platform) -> None:
    """Numbers with another prefix are refused as addresses, whoever they belong to; e-mail is not concerned."""
    async with platform.running(sms_allowed_prefixes="+49,+1876") as otp:
        assert [await ask(otp, number) for number in (PHONE, JAMAICA)] == ["ok", "ok"]
        for number in (AUSTRIA, "+12025550123"):
            for deliver in (True, False):
                with pytest.raises(Error) as refused:
                    await otp.issue(address=number, channel="sms", deliver=deliver)
                assert refused.value.code == ErrorCode.INVALID_REQUEST
                assert refused.value.detail == {"field": "address", "reason": "prefix"}
        assert outcomes(otp, "not_allowed", "+43") == 2
        assert outcomes(otp, "not_allowed", "+1") == 2
        await otp.issue()
        await otp.delivered("sent", 2, "sms")
        assert not otp.received(AUSTRIA)


async def test_a_calling_code_that_no_country_has_gets_nothing(otp: Otp) -> None:
    """Where every prefix is allowed, numbers that cannot be told by country are still refused."""
    assert await ask(otp, NOBODYS) == "invalid_request"
    assert outcomes(otp, "not_allowed", "none") == 1


async def test_a_hundred_requests_at_once_at_the_edge_of_the_budget(platform: Platform, numbers: Iterator[str]) -> None:
    """With seven messages left and a hundred people asking at once, seven are sent and the others told so."""
    async with platform.running(sms_prefix_daily_limit="10", **NO_RATIO) as otp:
        assert [await ask(otp, next(numbers)) for _ in range(3)] == ["ok"] * 3
        answers = await asyncio.gather(*(ask(otp, next(numbers)) for _ in range(100)))
        assert Counter(answers) == {"ok": 7, "overloaded": 93}
        await otp.delivered("sent", 10, "sms")
        assert otp.counted("codes_issued_total", channel="sms") == 10
        assert (outcomes(otp, "sent"), outcomes(otp, "prefix_limit")) == (10, 93)


async def test_the_same_request_twenty_times_at_once_takes_one(platform: Platform) -> None:
    """Repeats of one request are all answered well and take one message off the budget, the last one too."""
    async with platform.running(sms_daily_limit="1", **NO_RATIO) as otp:
        answers = await asyncio.gather(*(ask(otp, PHONE) for _ in range(20)))
        assert Counter(answers) == {"ok": 20}
        platform.clock.advance(9)
        assert await ask(otp, PHONE) == "ok"
        await otp.delivered("sent", 1, "sms")
        assert outcomes(otp, "sent") == 1
        assert outcomes(otp, "daily_limit") == 0
        assert len(otp.received(PHONE)) == 1


async def test_a_code_sent_again_counts_again(platform: Platform) -> None:
    """What is counted are messages, not codes; the one too many is refused, and the code that came stays good."""
    async with platform.running(sms_prefix_daily_limit="2", **NO_RATIO) as otp:
        assert await ask(otp, PHONE) == "ok"
        platform.clock.advance(30)
        assert await ask(otp, PHONE) == "ok"
        first, second = map(code_in, await otp.messages(2, PHONE))
        assert first == second
        for seconds in (11, 60):
            platform.clock.advance(seconds)
            assert await ask(otp, PHONE) == "overloaded"
        assert await otp.check(first, f"phone:{PHONE}") == "ok"


async def test_a_code_used_within_ten_seconds_makes_no_room(platform: Platform) -> None:
    """The next code within the time of repeats is another message, which counts."""
    async with platform.running(sms_daily_limit="2", **NO_RATIO) as otp:
        for number in (1, 2):
            assert await ask(otp, PHONE) == "ok"
            code = await otp.code(number, PHONE)
            assert await otp.check(code, f"phone:{PHONE}") == "ok"
        assert await ask(otp, PHONE) == "overloaded"


async def test_the_budget_of_all_is_one(platform: Platform, numbers: Iterator[str]) -> None:
    """The day's messages are counted over all calling codes; the refusal says when the next day begins."""
    async with platform.running(sms_daily_limit="3", **NO_RATIO) as otp:
        assert [await ask(otp, number) for number in (next(numbers), AUSTRIA, JAMAICA)] == ["ok"] * 3
        platform.clock.advance(3600)
        code, _, wait = await refusal(otp, next(numbers))
        assert (code, wait) == (ErrorCode.OVERLOADED, 21 * 3600)
        platform.clock.advance(21 * 3600 - 1)
        assert await ask(otp, next(numbers)) == "overloaded"
        platform.clock.advance(1)
        assert await ask(otp, next(numbers)) == "ok"


async def test_a_calling_code_may_have_a_limit_of_its_own(platform: Platform, numbers: Iterator[str]) -> None:
    """One country's messages end, the others' go on; 0 is no limit."""
    changed = {"sms_prefix_daily_limit": "1", "sms_prefix_limits": "+49=2,+1=0"}
    async with platform.running(**changed, **NO_RATIO) as otp:
        assert [await ask(otp, next(numbers)) for _ in range(3)] == ["ok", "ok", "overloaded"]
        assert [await ask(otp, number) for number in (AUSTRIA, "+436641234568")] == ["ok", "overloaded"]
        assert [await ask(otp, f"+1876555012{number}") for number in range(4)] == ["ok"] * 4


async def test_codes_that_nobody_uses_stop_their_calling_code(platform: Platform, numbers: Iterator[str]) -> None:
    """With fewer than two of eight codes used sending stops until the window has moved on, for that country alone."""
    changed = {"sms_min_verified_ratio": "0.25", "sms_ratio_min_sent": "8", "sms_ratio_window_seconds": "600"}
    async with platform.running(**changed) as otp:
        sent = [next(numbers) for _ in range(8)]
        for number in sent[:4]:
            assert await ask(otp, number) == "ok"
        await use(otp, sent[0])
        platform.clock.advance(300)
        for number in sent[4:]:
            assert await ask(otp, number) == "ok"
        code, _, wait = await refusal(otp, next(numbers))
        assert code == ErrorCode.OVERLOADED
        assert wait is not None
        assert 300 < wait <= 310
        assert await ask(otp, AUSTRIA) == "ok"
        platform.clock.advance(wait - 1)
        assert await ask(otp, next(numbers)) == "overloaded"
        platform.clock.advance(1)
        assert await ask(otp, next(numbers)) == "ok"
        assert (outcomes(otp, "unverified"), outcomes(otp, "verified")) == (2, 1)


async def test_codes_that_come_in_start_their_calling_code_again(platform: Platform, numbers: Iterator[str]) -> None:
    """A rush of people whose codes are on their way stops sending only until enough of them are used."""
    async with platform.running(sms_min_verified_ratio="0.25", sms_ratio_min_sent="8") as otp:
        sent = [next(numbers) for _ in range(8)]
        for number in sent:
            assert await ask(otp, number) == "ok"
        assert await ask(otp, next(numbers)) == "overloaded"
        await use(otp, sent[0])
        assert await ask(otp, next(numbers)) == "overloaded"
        await use(otp, sent[1])
        assert await ask(otp, next(numbers)) == "ok"


async def test_wrong_codes_and_codes_by_mail_are_no_use(platform: Platform, numbers: Iterator[str]) -> None:
    """Only a code that was right and came by SMS speaks for its calling code."""
    async with platform.running(sms_min_verified_ratio="0.5", sms_ratio_min_sent="2") as otp:
        for number in (next(numbers), PHONE):
            assert await ask(otp, number) == "ok"
        await otp.check("000000", f"phone:{PHONE}")
        platform.clock.advance(61)
        await otp.issue(f"phone:{PHONE}")  # a new code, by e-mail, for the account that had one by SMS
        assert await otp.check(await otp.code(), f"phone:{PHONE}") == "ok"
        assert await ask(otp, next(numbers)) == "overloaded"
        assert outcomes(otp, "verified") == 0


async def test_strangers_and_users_are_refused_alike(platform: Platform, numbers: Iterator[str]) -> None:
    """Decoys take nothing off the budget, and get the same answer as real codes while it lasts and when it is gone."""
    async with platform.running(sms_prefix_daily_limit="2", **NO_RATIO) as otp:
        for _ in range(20):
            assert await ask(otp, next(numbers), deliver=False) == "ok"
        stranger, user = next(numbers), next(numbers)
        assert await ask(otp, stranger, deliver=False) == "ok"
        assert [await ask(otp, number) for number in (PHONE, user)] == ["ok", "ok"]
        # The repeats of what was accepted a moment ago, then those who ask anew, then those who ask again.
        assert await ask(otp, stranger, deliver=False) == await ask(otp, user) == "ok"
        told = [await refusal(otp, next(numbers), deliver=deliver) for deliver in (True, False)]
        platform.clock.advance(11)
        told += [await refusal(otp, user), await refusal(otp, stranger, deliver=False)]
        assert told[0] == told[1]
        assert told[2] == told[3]
        assert outcomes(otp, "sent") == 2
        await otp.delivered("sent", 2, "sms")
        assert not otp.received(stranger)


async def test_strangers_and_users_are_stopped_alike(platform: Platform, numbers: Iterator[str]) -> None:
    """Decoys, which nobody can use, do not stop a calling code; once it is stopped they are refused in the same way."""
    async with platform.running(sms_min_verified_ratio="0.5", sms_ratio_min_sent="3") as otp:
        for _ in range(10):
            assert await ask(otp, next(numbers), deliver=False) == "ok"
        for _ in range(3):
            assert await ask(otp, next(numbers)) == "ok"
        one, other = [await refusal(otp, next(numbers), deliver=deliver) for deliver in (True, False)]
        assert one == other


async def test_a_stop_is_told_in_the_log_once_a_day(platform: Platform, numbers: Iterator[str]) -> None:
    """However many ask in vain, operators read one line a day for each calling code; it names no number."""
    with capture_logs() as logs:
        async with platform.running(sms_prefix_daily_limit="1", **NO_RATIO) as otp:
            for _ in range(2):
                assert await ask(otp, next(numbers)) == "ok"
                assert await ask(otp, AUSTRIA) in ("ok", "overloaded")
                for _ in range(3):
                    assert await ask(otp, next(numbers)) == "overloaded"
                    assert await ask(otp, "+436641234568") == "overloaded"
                platform.clock.advance(24 * 3600)
        lines = [line for line in logs if line["event"] == "no more sms for now"]
    assert [line["prefix"] for line in lines] == ["+49", "+43", "+49", "+43"]
    assert {(line["log_level"], line["reason"]) for line in lines} == {("warning", "prefix_limit")}
    assert "151" not in str(lines)


async def test_the_day_of_all_replicas_is_shown(platform: Platform, numbers: Iterator[str]) -> None:
    """A replica that begins later shows what others sent, by calling code."""
    async with platform.running() as otp:
        number = next(numbers)
        for to in (number, AUSTRIA, next(numbers)):
            assert await ask(otp, to) == "ok"
        await use(otp, number)
    async with platform.running() as other:
        await eventually(lambda: other.counted("sms_sent_today", prefix="+49") == 2)
        assert other.counted("sms_verified_today", prefix="+49") == 1
        assert other.counted("sms_sent_today", prefix="+43") == 1
        assert other.counted("sms_verified_today", prefix="+43") == 0


async def test_replicas_share_the_budget(platform: Platform, numbers: Iterator[str]) -> None:
    """What one replica sent the next one counts too."""
    for expected in ("ok", "ok", "overloaded"):
        async with platform.running(sms_daily_limit="2") as otp:
            assert await ask(otp, next(numbers)) == expected


async def test_counts_are_kept_without_numbers_and_not_for_good(otp: Otp) -> None:
    """Redis holds calling codes and counts, which end by themselves."""
    assert await ask(otp, PHONE) == "ok"
    await use(otp, PHONE)
    prefix = otp.platform.settings["DRAGOMAN_REDIS_PREFIX"]
    async with Redis.from_url(otp.platform.settings["DRAGOMAN_REDIS_URL"], decode_responses=True) as redis:
        keys = sorted([key async for key in redis.scan_iter(match=f"{prefix}otp:{{sms}}:*")])
        day = f"{otp.platform.clock.now():%Y-%m-%d}"
        assert keys == [f"{prefix}otp:{{sms}}:day:{day}", f"{prefix}otp:{{sms}}:window:+49"]
        assert await redis.hgetall(keys[0]) == {"sent:all": "1", "sent:+49": "1", "used:+49": "1"}
        assert all([0 < await redis.ttl(key) <= 48 * 3600 for key in keys])
