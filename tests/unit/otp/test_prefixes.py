"""Which calling code a number has."""

import pytest

from services.otp.prefixes import calling_code, is_calling_code


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("+4915112345678", "+49"),
        ("+4366412345678", "+43"),
        ("+12025550123", "+1"),
        ("+18765550123", "+1"),
        ("+79161234567", "+7"),
        ("+3530851234567", "+353"),
        ("+88213300000", "+882"),
        ("+999123456789", None),
        ("+2101234567", None),
        ("12025550123", None),
        ("", None),
    ],
)
def test_the_calling_code_of_a_number(number: str, code: str | None) -> None:
    """Codes have one to three digits; numbers under a code that nobody has have none."""
    assert calling_code(number) == code


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("+49", True),
        ("+1", True),
        ("+882", True),
        ("+4", False),
        ("+491", False),
        ("+999", False),
        ("49", False),
        ("++49", False),
        ("+049", False),
        ("+4\u0669", False),
        ("+", False),
        ("", False),
    ],
)
def test_what_is_a_calling_code(text: str, expected: bool) -> None:
    """Only whole codes that exist are: what is counted by `+49` cannot be limited by `+491`."""
    assert is_calling_code(text) == expected
