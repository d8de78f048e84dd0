"""What people are sent, and how their addresses are checked and shown."""

import re
from dataclasses import dataclass
from datetime import timedelta

from shared.contracts.otp import Channel

_FORMS: dict[Channel, re.Pattern[str]] = {
    "email": re.compile(r"[^\s@\x00-\x1f\x7f<>,;]+@[^\s@\x00-\x1f\x7f<>,;]+"),
    "sms": re.compile(r"\+[1-9][0-9]{5,14}"),
}


@dataclass(frozen=True, slots=True)
class Text:
    """One message: SMS have no subject."""

    subject: str
    body: str


def is_address(channel: Channel, address: str) -> bool:
    """Whether `address` can be handed to a provider: one e-mail address, or a number in E.164."""
    return len(address) <= 320 and _FORMS[channel].fullmatch(address) is not None


def text(channel: Channel, code: str, left: timedelta) -> Text:
    """The message with `code`, which lives for another `left`."""
    minutes = max(1, round(left.total_seconds() / 60))
    time = "1 minute" if minutes == 1 else f"{minutes} minutes"
    if channel == "sms":
        return Text("", f"{code} is your sign-in code. It works once, within {time}.")
    return Text(
        "Your sign-in code",
        f"Your sign-in code is {code}\n"
        "\n"
        f"It works once, within the next {time}.\n"
        "If you did not ask for it, ignore this message, and never pass the code on to anybody.\n",
    )


def masked(address: str) -> str:
    """The address as logs may show it: enough to recognise one's own, too little to use another's."""
    local, at, domain = address.rpartition("@")
    if at:
        return f"{local[:1]}***@{domain}"
    return f"{address[:3]}{'*' * max(3, len(address) - 5)}{address[-2:]}"
