"""What people are sent and what logs show."""

from datetime import timedelta

import pytest

from services.otp.messages import is_address, masked, text
from shared.contracts.otp import Channel


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(600, "10 minutes"), (599.9, "10 minutes"), (95, "2 minutes"), (61, "1 minute"), (5, "1 minute")],
)
@pytest.mark.parametrize("channel", ["email", "sms"])
def test_a_message_says_the_code_and_how_long_it_lives(channel: Channel, seconds: float, said: str) -> None:
    """The reader learns the code and the time that is left when it is sent."""
    message = text(channel, "012345", timedelta(seconds=seconds))
    assert "012345" in message.body
    assert f"{said}." in message.body


def test_a_code_is_not_in_the_subject() -> None:
    """A locked screen that shows subjects shows no code."""
    message = text("email", "012345", timedelta(minutes=10))
    assert message.subject
    assert "012345" not in message.subject


def test_a_text_message_fits_into_one() -> None:
    """A code by SMS costs one message: 160 characters of ASCII."""
    body = text("sms", "01234567", timedelta(minutes=30)).body
    assert body.isascii()
    assert len(body) <= 160


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
