"""Codes as they are derived."""

import re
from collections import Counter
from typing import get_args
from uuid import UUID

import pytest

from services.otp.codes import LINK, Codes
from shared.contracts.otp import Purpose
from shared.testing import SeededEntropy

KEY = bytes(range(32))
PURPOSES = get_args(Purpose)


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
    other_purposes = [Codes(KEY, 8).code(purpose, code_id) for purpose in PURPOSES[1:] for code_id in ids]
    assert len({*made, *other_key, *other_purposes}) == 50 * (1 + len(PURPOSES))


def test_what_is_kept_depends_on_every_part() -> None:
    """A right code counts only for its own account and purpose, however the parts are cut."""
    codes = Codes(KEY, 6)
    kept = {
        codes.proof("ab", "sign_in", "123456"),
        codes.proof("a", "sign_in", "123456"),
        codes.proof("ab", "sign_in", "123457"),
        codes.proof("ab", "bsign_in", "123456"),  # type: ignore[arg-type]
        codes.proof("ab", "second_factor", "123456"),
        codes.proof("a", "bsign_in", "123456"),  # type: ignore[arg-type]
        codes.account_name("ab"),
        codes.target_name("sign_in", "email", "ab").hex(),
        codes.target_name("sign_in", "sms", "ab").hex(),
        codes.target_name("second_factor", "email", "ab").hex(),
    }
    assert len(kept) == 10


@pytest.mark.parametrize("text", ["", "12345", "1234567", "12345a", "１２３４５６", "12345²", " 12345", "-12345"])
def test_what_is_no_code_is_told_by_its_form(text: str) -> None:
    """Only six ASCII digits can be a code of six digits."""
    assert not Codes(KEY, 6).may_be_code("sign_in", text)
    assert Codes(KEY, 6).may_be_code("sign_in", "012345")


def test_the_code_of_a_link_is_the_same_for_the_same_id_and_fits_into_a_url() -> None:
    """It carries an id and 256 bits more, in characters that no URL has to escape."""
    made = Codes(KEY, 6).code(LINK, UUID(int=7))
    assert made == Codes(KEY, 8).code(LINK, UUID(int=7))
    assert re.fullmatch(r"[A-Za-z0-9_-]{64}", made)
    assert Codes(KEY, 6).may_be_code(LINK, made)


def test_a_link_that_we_did_not_make_is_told_from_one_that_we_made() -> None:
    """Changing any character, or coming from another key, makes the code of a link one that was never ours."""
    codes = Codes(KEY, 6)
    made = codes.code(LINK, UUID(int=7))
    changed = [made[:place] + ("A" if made[place] != "A" else "B") + made[place + 1 :] for place in range(64)]
    foreign = Codes(KEY[::-1], 6).code(LINK, UUID(int=7))
    for text in (*changed, foreign, made[:-1], made + "A", made + "=", made + "\n", "é" * 64, "", "123456"):
        assert not codes.may_be_code(LINK, text)


def test_a_link_can_be_written_in_one_way_only() -> None:
    """The other alphabet of base64 names no second code beside the one that is spent."""
    codes, entropy = Codes(KEY, 6), SeededEntropy()
    made = next(code for code in iter(lambda: codes.code(LINK, entropy.uuid()), "") if {"-", "_"} <= set(code))
    assert codes.may_be_code(LINK, made)
    assert not codes.may_be_code(LINK, made.replace("-", "+"))
    assert not codes.may_be_code(LINK, made.replace("_", "/"))
