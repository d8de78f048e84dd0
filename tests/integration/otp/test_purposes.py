"""Codes for different purposes, and links, which are followed rather than typed."""

import asyncio
import re
from collections import Counter
from uuid import UUID

import pytest
from redis.asyncio import Redis

from deploy.inbox.faults import Faults
from deploy.inbox.mailbox import Message
from services.otp.codes import LINK, Codes
from services.otp.settings import OtpSettings
from shared.contracts.otp import Channel, Purpose
from shared.errors import Error, ErrorCode
from shared.settings import decode_key
from tests.integration.otp.conftest import ACCOUNT, EMAIL, PHONE, Otp, Platform, code_in

DIGITS: tuple[Purpose, ...] = ("sign_in", "second_factor", "password_reset")
URL = "https://example.com/reset?lang=en&token={code}"


@pytest.mark.parametrize("purpose", DIGITS)
@pytest.mark.parametrize(("address", "channel"), [(EMAIL, "email"), (PHONE, "sms")])
async def test_a_code_counts_for_its_own_purpose_alone(
    otp: Otp, purpose: Purpose, address: str, channel: Channel
) -> None:
    """With codes of every purpose alive, each opens its own door, once, and no other one."""
    others = [other for other in DIGITS if other != purpose]
    for other in others:
        await otp.issue(purpose=other)
    await _link(otp)
    await otp.messages(3)
    await otp.issue(address=address, channel=channel, purpose=purpose)
    code = code_in((await otp.messages(4 if channel == "email" else 1, address))[-1])
    for other in (*others, LINK):
        assert await otp.check(code, purpose=other) == "wrong_code"
    assert await otp.check(code, purpose=purpose) == "ok"
    assert await otp.check(code, purpose=purpose) == "wrong_code"


async def test_codes_for_different_purposes_arrive_beside_each_other(otp: Otp) -> None:
    """A code on its way is made useless by a newer one for the same purpose, not by one for another."""
    otp.platform.switch.set(Faults(smtp="tempfail"))
    for count, purpose in enumerate(DIGITS, 1):
        await otp.issue(purpose=purpose)
        otp.platform.clock.advance(1)
        await otp.delivered("deferred", count)
    otp.platform.switch.set(Faults())
    await otp.delivered("sent", 3)
    assert otp.counted("deliveries_total", channel="email", outcome="superseded") == 0
    assert len({message.subject for message in otp.received()}) == 3


@pytest.mark.parametrize("purpose", [*DIGITS, LINK])
async def test_only_the_newest_of_one_purpose_is_sent(otp: Otp, purpose: Purpose) -> None:
    """Whatever a code is for, the one that no longer counts stays away when the mail server is back."""
    link = URL if purpose == LINK else None
    otp.platform.switch.set(Faults(smtp="tempfail"))
    await otp.issue(purpose=purpose, link=link)
    await otp.delivered("deferred")
    otp.platform.clock.advance(61)
    await otp.issue(purpose=purpose, link=link)
    await otp.delivered("superseded")
    otp.platform.switch.set(Faults())
    await otp.delivered("sent")
    (message,) = otp.received()
    code = link_code_in(message) if link else code_in(message)
    assert await otp.check(code, purpose=purpose) == "ok"


async def test_the_code_of_a_link_works_once(otp: Otp) -> None:
    """The link arrives by e-mail with its code in it, a day long, and is worth nothing once it was used."""
    issued = await otp.issue(purpose=LINK, link=URL)
    assert (issued.expires_at - otp.platform.clock.now()).total_seconds() == pytest.approx(86_400, abs=0.001)
    (message,) = await otp.messages(1)
    code = link_code_in(message)
    assert f"\n{URL.replace('{code}', code)}\n" in message.text
    assert "24 hours" in message.text
    for purpose in DIGITS:
        assert await otp.check(code, purpose=purpose) == "wrong_code"
    otp.platform.clock.advance(86_399)
    outcomes = Counter(await asyncio.gather(*(otp.check(code, purpose=LINK) for _ in range(20))))
    assert outcomes == {"ok": 1, "wrong_code": 19}


async def test_a_link_lives_as_long_as_it_is_set_to(platform: Platform) -> None:
    """The operator says how long; a link that comes too late is told from a wrong one."""
    async with platform.running(link_ttl_seconds="300") as otp:
        code = await _link(otp)
        otp.platform.clock.advance(300)
        assert await otp.check(code, purpose=LINK) == "code_expired"


async def test_a_link_asked_for_again_is_the_same_within_a_minute_and_another_one_later(otp: Otp) -> None:
    """As with codes: two messages of one minute both count, and later ones make the earlier link useless."""
    first = await _link(otp)
    otp.platform.clock.advance(30)
    assert await _link(otp, count=2) == first
    otp.platform.clock.advance(31)
    newest = await _link(otp, count=3)
    assert await otp.check(first, purpose=LINK) == "wrong_code"
    assert await otp.check(newest, purpose=LINK) == "ok"


async def test_a_very_long_link_arrives_whole(otp: Otp) -> None:
    """Mail servers fold long lines; the reader gets the link as it was meant, in one piece."""
    link = URL.replace("lang=en", "next=" + "%2Fa" * 485)
    assert len(link) > 1950
    await otp.issue(purpose=LINK, link=link)
    (message,) = await otp.messages(1)
    assert link.replace("{code}", link_code_in(message)) in message.text.split("\n")


async def test_guesses_at_other_codes_lock_nobody_out_of_a_link(otp: Otp) -> None:
    """With all of the hour's attempts used up a link still works."""
    code = await _link(otp)
    await otp.issue(purpose="password_reset")
    guesses = [await otp.check("000000", purpose="password_reset") for _ in range(6)]
    assert guesses[-1] == "too_many_attempts"
    assert await otp.check(code, purpose=LINK) == "ok"


async def test_wrong_links_lock_nobody_out(otp: Otp) -> None:
    """Neither links that we never made, nor old ones, nor those of others use up anything of an account's."""
    old = await _link(otp)
    otp.platform.clock.advance(61)
    code = await _link(otp, count=2)
    foreign = await _link(otp, "another", "another@example.com")
    made_up = f"{'A' if code[0] != 'A' else 'B'}{code[1:]}"
    await otp.issue()
    sign_in_code = code_in((await otp.messages(3))[-1])
    for _ in range(7):
        for wrong in (made_up, old, foreign, "123456", "", "x" * 5000, "\u00e4" * 64):
            assert await otp.check(wrong, purpose=LINK) == "wrong_code"
    assert await otp.check(sign_in_code) == "ok"
    assert await otp.check(code, purpose=LINK) == "ok"


async def test_the_right_link_of_a_decoy_is_refused(otp: Otp) -> None:
    """For somebody who may not have one, the answer is the same, nothing is sent, and even the right link is wrong."""
    decoy = await otp.issue(purpose=LINK, link=URL, deliver=False)
    await otp.delivered("skipped")
    assert decoy == await otp.issue("another", "another@example.com", purpose=LINK, link=URL)
    settings = OtpSettings.load(otp.platform.settings)
    codes = Codes(decode_key(settings.code_key), settings.code_digits)
    async with Redis.from_url(settings.redis_url.get_secret_value(), decode_responses=True) as redis:
        key = f"{settings.redis_prefix}otp:{{{codes.account_name(ACCOUNT)}}}:code:{LINK}"
        code_id = await redis.hget(key, "id")
    assert isinstance(code_id, str)
    assert await otp.check(codes.code(LINK, UUID(code_id)), purpose=LINK) == "wrong_code"
    assert not otp.received()


async def test_redis_holds_no_link(otp: Otp) -> None:
    """Whoever reads Redis finds nothing that could be followed, and nothing stays for good."""
    code = await _link(otp)
    settings = OtpSettings.load(otp.platform.settings)
    async with Redis.from_url(settings.redis_url.get_secret_value(), decode_responses=True) as redis:
        (key,) = [key async for key in redis.scan_iter(match=f"{settings.redis_prefix}*")]
        kept = await redis.hgetall(key)
        assert 86_400 < await redis.ttl(key) <= 86_400 + 600
    for secret in (code, code[22:], ACCOUNT, "example.com"):
        assert secret not in f"{key} {kept}"


@pytest.mark.parametrize(
    ("purpose", "link", "field"),
    [
        ("password_reset_link", None, "link"),
        ("password_reset", URL, "link"),
        ("sign_in", URL, "link"),
        ("password_reset_link", "https://example.com/reset", "link"),
        ("password_reset_link", f"{URL}{'x' * 2000}", "link"),
        ("password_reset_link", f"{URL}\nAnd now for something else", "link"),
    ],
)
async def test_a_link_goes_with_its_purpose(otp: Otp, purpose: Purpose, link: str | None, field: str) -> None:
    """What cannot be sent as a link is refused, whether or not anything would be sent."""
    for deliver in (True, False):
        with pytest.raises(Error) as refused:
            await otp.issue(purpose=purpose, link=link, deliver=deliver)
        assert (refused.value.code, refused.value.detail) == (ErrorCode.INVALID_REQUEST, {"field": field})


async def test_no_link_goes_out_by_sms(otp: Otp) -> None:
    """A link of 256 bits is for e-mail alone."""
    with pytest.raises(Error) as refused:
        await otp.issue(address=PHONE, channel="sms", purpose=LINK, link=URL)
    assert (refused.value.code, refused.value.detail) == (ErrorCode.INVALID_REQUEST, {"field": "channel"})


def link_code_in(message: Message) -> str:
    """The code in the link that a message brings."""
    found = re.search(r"token=([A-Za-z0-9_-]{64})$", message.text, re.MULTILINE)
    assert found is not None, message.text
    return found[1]


async def _link(otp: Otp, account: str = ACCOUNT, address: str = EMAIL, count: int = 1) -> str:
    """Ask for a link; the code in message number `count` that brings one."""
    await otp.issue(account, address, purpose=LINK, link=URL)
    links: list[Message] = []
    async with asyncio.timeout(20):
        while len(links) < count:
            links = [message for message in otp.received(address) if "token=" in message.text]
            await asyncio.sleep(0.01)
    return link_code_in(links[count - 1])
