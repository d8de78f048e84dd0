"""What people are sent, and how their addresses are checked and shown."""

import re
from dataclasses import dataclass
from datetime import timedelta

from shared.contracts.otp import Channel, Purpose

_FORMS: dict[Channel, re.Pattern[str]] = {
    "email": re.compile(r"[^\s@\x00-\x1f\x7f<>,;]+@[^\s@\x00-\x1f\x7f<>,;]+"),
    "sms": re.compile(r"\+[1-9][0-9]{5,14}"),
}


CODE_PLACE = "{code}"
"""What stands in a link for the code."""

_LONGEST_LINK = 2000


@dataclass(frozen=True, slots=True)
class Text:
    """One message: SMS have no subject."""

    subject: str
    body: str


@dataclass(frozen=True, slots=True)
class _Wording:
    """What is said of a code: its name, and what to know and do when it comes unasked for."""

    subject: str
    name: str
    unasked: str


_WORDINGS: dict[Purpose, _Wording] = {
    "sign_in": _Wording(
        "Your sign-in code",
        "sign-in code",
        "If you did not ask for it, ignore this message: nothing happens without the code.\n"
        "Never pass it on to anybody.\n",
    ),
    "second_factor": _Wording(
        "Confirm your sign-in",
        "code to confirm your sign-in",
        "If you did not ask for it, ignore this message: nothing happens without the code. But somebody may know your\n"
        "password, so change it soon.\n"
        "Never pass the code on to anybody.\n",
    ),
    "password_reset": _Wording(
        "Your code for a new password",
        "code for a new password",
        "If you did not ask for it, ignore this message: nothing happens without the code, and your password stays as\n"
        "it is.\n"
        "Never pass the code on to anybody.\n",
    ),
}


def is_address(channel: Channel, address: str) -> bool:
    """Whether `address` can be handed to a provider: one e-mail address, or a number in E.164."""
    return len(address) <= 320 and _FORMS[channel].fullmatch(address) is not None


def is_link(link: str) -> bool:
    """Whether `link` can be sent: one word with a place for the code, which stays whole on a line of its own."""
    return len(link) <= _LONGEST_LINK and CODE_PLACE in link and " " not in link and link.isprintable()


def text(purpose: Purpose, channel: Channel, code: str, left: timedelta) -> Text:
    """The message with a code of digits, which lives for another `left`."""
    wording, time = _WORDINGS[purpose], _spoken(left)
    if channel == "sms":
        return Text("", f"{code} is your {wording.name}. It works once, within {time}.")
    return Text(
        wording.subject,
        f"Your {wording.name} is {code}\n\nIt works once, within the next {time}.\n{wording.unasked}",
    )


def link_text(link: str, left: timedelta) -> Text:
    """The message with a link that sets a new password, code included, which lives for another `left`."""
    return Text(
        "Set a new password",
        "Follow this link to set a new password:\n"
        "\n"
        f"{link}\n"
        "\n"
        f"It works once, within the next {_spoken(left)}.\n"
        "If you did not ask for it, ignore this message: nothing happens, and your password stays as it is.\n"
        "Never pass the link on to anybody.\n",
    )


def _spoken(left: timedelta) -> str:
    """Minutes, or for a long time the whole hours or days in it: rather too little than too much."""
    minutes = max(1, round(left.total_seconds() / 60))
    if minutes >= 2 * 24 * 60:
        return f"{minutes // (24 * 60)} days"
    if minutes >= 2 * 60:
        return f"{minutes // 60} hours"
    return "1 minute" if minutes == 1 else f"{minutes} minutes"


def masked(address: str) -> str:
    """The address as logs may show it: enough to recognise one's own, too little to use another's."""
    local, at, domain = address.rpartition("@")
    if at:
        return f"{local[:1]}***@{domain}"
    return f"{address[:3]}{'*' * max(3, len(address) - 5)}{address[-2:]}"
