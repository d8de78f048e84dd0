"""Which passwords may be set."""

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.password import common_passwords
from services.password.domain.policy import MAX_LENGTH, Policy, Reason

COMMON = common_passwords.load()
POLICY = Policy(min_length=15, common=COMMON)
LOW = Policy(min_length=8, common=COMMON)
CONTEXT = ["Someone.Special@example.com", "specialist1985", "+15551234567"]


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple",
        "fj39 dkw0 qpz7 mxv2",
        "пароль из нескольких слов",
        "我的密码是一句很长的话没有人知道",
        "k482047264582746",
        "correcthorsecorrecthorse",
        "someone special likes tea",
        "x" + "0918273645546372819",
    ],
)
def test_good_passwords(password: str) -> None:
    """A long password that nobody guesses first is accepted, whatever kinds of characters are in it."""
    assert POLICY.reasons(password, CONTEXT) == []


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("password1234567890", Reason.COMMON),
        ("PassWord!!!!!!!!!!!", Reason.COMMON),
        ("Michael1985198519", Reason.COMMON),
        ("ｐａｓｓｗｏｒｄ1234567", Reason.COMMON),
        ("passwordpassword", Reason.REPEATED),
        ("Password1Password1", Reason.REPEATED),
        ("passwordpassword2024", Reason.REPEATED),
        ("aaaaaaaaaaaaaaaa", Reason.REPEATED),
        ("abcabcabcabcabcab", Reason.REPEATED),
        ("12345678901234567890", Reason.REPEATED),
        ("0987654321098765", Reason.REPEATED),
        ("abcdefghijklmnop", Reason.REPEATED),
        ("ponmlkjihgfedcba", Reason.REPEATED),
        ("qwertyuiopasdfgh", Reason.REPEATED),
        ("qwertyuiopasdfgh!1", Reason.REPEATED),
        ("someone.special@example.com", Reason.CONTEXT),
        ("SOMEONE.SPECIAL!2024", Reason.CONTEXT),
        ("specialist1985!!!", Reason.CONTEXT),
        ("Specialist2024!!", Reason.CONTEXT),
        ("specialistspecialist", Reason.REPEATED),
        ("Dragoman20262026", Reason.CONTEXT),
    ],
)
def test_guessed_first(password: str, reason: Reason) -> None:
    """A password that is long but guessed first is refused, and the user is told why."""
    assert reason in POLICY.reasons(password, CONTEXT)


def test_length() -> None:
    """Length is counted in characters of the normal form, from the least that is set to 256."""
    assert LOW.reasons("q8;Zé中w") == [Reason.TOO_SHORT]
    assert LOW.reasons("q8;Zé中w7") == []
    assert LOW.reasons("ﬃq8;Zw") == []  # one ligature is three letters
    assert LOW.reasons("e\u0301" * 7) == [Reason.TOO_SHORT, Reason.REPEATED]
    longest = "".join(chr(0x4E00 + n * n) for n in range(MAX_LENGTH // 2)) * 2
    assert POLICY.reasons(longest) == []
    assert POLICY.reasons(longest + "x") == [Reason.TOO_LONG]
    assert POLICY.reasons("x" * 100_000) == [Reason.TOO_LONG]


def test_short_identifiers_say_nothing() -> None:
    """A user called "a1" may have a password that begins with an a."""
    assert POLICY.reasons("a738264910#8271", ["a1"]) == []


def test_the_list() -> None:
    """The shipped list knows what attackers try first, in lower case, and nothing of its own header."""
    assert {"123456", "password", "qwerty", "letmein", "iloveyou", "michael", "password1"} <= COMMON
    assert 15_000 < len(COMMON) < 30_000
    assert all(word == word.strip().casefold() and not word.startswith("# ") for word in COMMON)


@given(st.text(max_size=300), st.lists(st.text(max_size=30), max_size=3))
def test_any_text(password: str, context: list[str]) -> None:
    """Every text gets an answer, and a short one is always refused."""
    reasons = POLICY.reasons(password, context)
    if len(unicodedata.normalize("NFKC", password)) < 15:
        assert Reason.TOO_SHORT in reasons


@given(st.text(min_size=15, max_size=80))
def test_spelling_does_not_matter(password: str) -> None:
    """A password is judged the same on every device."""
    assert POLICY.reasons(password) == POLICY.reasons(unicodedata.normalize("NFKC", password))


@given(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=7), st.integers(15, 60))
def test_short_unit_repeated(unit: str, length: int) -> None:
    """Fewer than eight characters over and over are refused at any length."""
    assert Reason.REPEATED in POLICY.reasons((unit * length)[:length])


@given(st.sampled_from(sorted(COMMON)), st.text("0123456789!#$%&*.-_", min_size=12, max_size=20))
def test_common_word_with_a_tail(word: str, tail: str) -> None:
    """Digits and symbols behind a common password do not make it a good one."""
    assert Reason.COMMON in POLICY.reasons(word.title() + tail) or not word[-1].isalpha()


def test_long_passwords_are_refused_unread() -> None:
    """What is far too long takes no time, whatever it is made of: its normal form would hold up everybody."""
    began = time.process_time()
    for _ in range(5):
        assert POLICY.reasons("a" + "\u0301\u0316" * 15_000) == [Reason.TOO_LONG]
    assert time.process_time() - began < 0.2
