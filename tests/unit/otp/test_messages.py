"""What people are sent and what logs show."""

from datetime import timedelta

import pytest

from services.otp.messages import is_address, is_link, link_text, masked, text
from shared.contracts.otp import Channel, Purpose

DIGITS: tuple[Purpose, ...] = ("sign_in", "second_factor", "password_reset")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(600, "10 minutes"), (599.9, "10 minutes"), (95, "2 minutes"), (61, "1 minute"), (5, "1 minute")],
)
@pytest.mark.parametrize("channel", ["email", "sms"])
@pytest.mark.parametrize("purpose", DIGITS)
def test_a_message_says_the_code_and_how_long_it_lives(
    purpose: Purpose, channel: Channel, seconds: float, said: str
) -> None:
    """The reader learns the code and the time that is left when it is sent."""
    message = text(purpose, channel, "012345", timedelta(seconds=seconds))
    assert "012345" in message.body
    assert f"{said}." in message.body


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (60 * 119, "119 minutes"),
        (60 * 120, "2 hours"),
        (60 * 179, "2 hours"),
        (86_399.9, "24 hours"),
        (86_400 * 2 - 60, "47 hours"),
        (86_400 * 2, "2 days"),
        (604_800, "7 days"),
    ],
)
def test_a_long_time_is_told_in_hours_or_days(seconds: float, said: str) -> None:
    """Whoever gets a link reads for how long it works, never more than it does."""
    assert f" {said}.\n" in link_text("https://example.com/?token=x", timedelta(seconds=seconds)).body


@pytest.mark.parametrize("purpose", DIGITS)
def test_a_code_is_not_in_the_subject(purpose: Purpose) -> None:
    """A locked screen that shows subjects shows no code."""
    message = text(purpose, "email", "012345", timedelta(minutes=10))
    assert message.subject
    assert "012345" not in message.subject


def test_messages_say_what_they_are_for() -> None:
    """A code for a new password is not taken for one to sign in with, in the list of mails or in an SMS."""
    ten = timedelta(minutes=10)
    mails = [text(purpose, "email", "012345", ten) for purpose in DIGITS] + [link_text("https://example.com", ten)]
    assert len({mail.subject for mail in mails}) == 4
    assert len({text(purpose, "sms", "012345", ten).body for purpose in DIGITS}) == 3
    for mail in mails:
        assert "ignore this message: nothing happens" in mail.body


def test_a_link_stands_on_a_line_of_its_own() -> None:
    """Every mail program recognises the link, and nothing before or after it becomes a part of it."""
    link = "https://example.com/reset?token=abc&lang=en"
    message = link_text(link, timedelta(days=1))
    assert message.body.split("\n").count(link) == 1
    assert link not in message.subject


@pytest.mark.parametrize("purpose", DIGITS)
def test_a_text_message_fits_into_one(purpose: Purpose) -> None:
    """A code by SMS costs one message: 160 characters of ASCII."""
    body = text(purpose, "sms", "01234567", timedelta(minutes=30)).body
    assert body.isascii()
    assert len(body) <= 160


@pytest.mark.parametrize(
    ("link", "good"),
    [
        ("https://example.com/reset?token={code}", True),
        ("https://b\u00fccher.example/reset?token={code}", True),
        ("https://example.com/?x=" + "x" * 1971 + "{code}", True),
        ("https://example.com/?x=" + "x" * 1972 + "{code}", False),
        ("https://example.com/reset?token=", False),
        ("https://example.com/a b?token={code}", False),
        ("https://example.com/\n{code}", False),
        ("https://example.com/\u2028{code}", False),
        ("", False),
    ],
)
def test_only_one_clean_link_is_sent(link: str, good: bool) -> None:
    """Nothing that a mail could break, or that brings no code, is sent as a link."""
    assert is_link(link) is good


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("john@example.com", "j***@example.com"),
        ("j@example.com", "j***@example.com"),
        ("+49151123456734", "+49**********34"),
        ("+496001", "+49***01"),
    ],
)
def test_logs_show_addresses_masked(address: str, shown: str) -> None:
    """An operator can recognise an address in the log, and nobody can use it."""
    assert masked(address) == shown


@pytest.mark.parametrize(
    ("channel", "address", "good"),
    [
        ("email", "john@example.com", True),
        ("email", "j\u00f6rg@b\u00fccher.example", True),
        ("email", "john", False),
        ("email", "a@b.c, d@e.f", False),
        ("email", "a@b.c\r\nBcc: d@e.f", False),
        ("email", "a@b@c", False),
        ("email", "a" * 320 + "@b.c", False),
        ("sms", "+4915112345678", True),
        ("sms", "015112345678", False),
        ("sms", "+49 151 12345678", False),
        ("sms", "+4915112345678\n", False),
        ("sms", "john@example.com", False),
    ],
)
def test_only_one_clean_address_is_written_to(channel: Channel, address: str, good: bool) -> None:
    """Nothing that could add a second receiver or a header reaches a provider."""
    assert is_address(channel, address) is good
