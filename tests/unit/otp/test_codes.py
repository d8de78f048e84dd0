"""Codes as they are derived."""

from collections import Counter
from uuid import UUID

import pytest

from services.otp.codes import Codes
from shared.testing import SeededEntropy

KEY = bytes(range(32))


@pytest.mark.parametrize("digits", [6, 7, 8])
def test_codes_have_the_digits_that_are_set(digits: int) -> None:
    """Every code has exactly the wanted number of digits, leading zeros included."""
    codes, entropy = Codes(KEY, digits), SeededEntropy()
    made = [codes.code("sign_in", entropy.uuid()) for _ in range(2000)]
    assert all(len(code) == digits and code.isdigit() for code in made)
    assert any(code.startswith("0") for code in made)


def test_the_same_id_gives_the_same_code() -> None:
    """A code sent again is the same, also by another replica with the same key."""
    code_id = UUID(int=7)
    assert Codes(KEY, 6).code("sign_in", code_id) == Codes(KEY, 6).code("sign_in", code_id)


def test_codes_are_spread_evenly() -> None:
    """No digit is likelier than another at any place (chi-squared, 9 degrees of freedom, p > 0.0001)."""
    codes, entropy, count = Codes(KEY, 6), SeededEntropy(1), 20_000
    made = [codes.code("sign_in", entropy.uuid()) for _ in range(count)]
    for place in range(6):
        seen = Counter(code[place] for code in made)
        assert sum((seen[digit] - count / 10) ** 2 / (count / 10) for digit in "0123456789") < 33.7


def test_codes_of_different_ids_keys_and_purposes_differ() -> None:
    """Knowing one code says nothing of the code with another id, under another key or for another purpose."""
    ids = [UUID(int=number) for number in range(50)]
    made = [Codes(KEY, 8).code("sign_in", code_id) for code_id in ids]
    other_key = [Codes(KEY[::-1], 8).code("sign_in", code_id) for code_id in ids]
    other_purpose = [Codes(KEY, 8).code("reset", code_id) for code_id in ids]  # type: ignore[arg-type]
    assert len({*made, *other_key, *other_purpose}) == 150


def test_what_is_kept_depends_on_every_part() -> None:
    """A right code counts only for its own account and purpose, however the parts are cut."""
    codes = Codes(KEY, 6)
    kept = {
        codes.proof("ab", "sign_in", "123456"),
        codes.proof("a", "sign_in", "123456"),
        codes.proof("ab", "sign_in", "123457"),
        codes.proof("ab", "bsign_in", "123456"),  # type: ignore[arg-type]
        codes.proof("a", "bsign_in", "123456"),  # type: ignore[arg-type]
        codes.account_name("ab"),
        codes.target_name("sign_in", "email", "ab").hex(),
        codes.target_name("sign_in", "sms", "ab").hex(),
    }
    assert len(kept) == 8


@pytest.mark.parametrize("text", ["", "12345", "1234567", "12345a", "１２３４５６", "12345²", " 12345", "-12345"])
def test_what_is_no_code_is_told_by_its_form(text: str) -> None:
    """Only six ASCII digits can be a code of six digits."""
    assert not Codes(KEY, 6).may_be_code(text)
    assert Codes(KEY, 6).may_be_code("012345")
