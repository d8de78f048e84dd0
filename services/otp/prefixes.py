"""What of a phone number says whom an SMS to it makes money for: its country calling code."""

import phonenumbers


def calling_code(number: str) -> str | None:
    """The country calling code of a number in E.164, as `+49`; None when there is no such code.

    Countries that share a code (those of `+1`) share everything that is counted by it. There are some 230 codes, so
    that they can be labels of metrics.
    """
    try:
        return f"+{phonenumbers.parse(number).country_code}"
    except phonenumbers.NumberParseException:
        return None


def is_calling_code(text: str) -> bool:
    """Whether `text` is a whole country calling code, as `+49`, neither part of one nor longer."""
    digits = text.removeprefix("+")
    return (
        text == f"+{digits}"
        and digits.isascii()
        and digits.isdigit()
        and not digits.startswith("0")
        and len(digits) <= 3
        and int(digits) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE
    )
