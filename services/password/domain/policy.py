"""Which new passwords are good enough (NIST SP 800-63B-4 §3.1.1.2): long, and not guessed first."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from services.password.domain.text import LONGEST, normalize

MAX_LENGTH = 256
"""Characters of the longest password that can be set."""

_PRODUCT = "dragoman"

_SHORT_UNIT = 8
"""A password that repeats fewer characters than this is no better than those characters."""

_LEAST_WORD = 3
"""Shorter parts of an identifier say nothing about the user."""

_ROWS = ("0123456789", "abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm")


class Reason(StrEnum):
    """Why a password is refused; stable words that reach the client."""

    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    COMMON = "common"
    REPEATED = "repeated"
    CONTEXT = "context"


@dataclass(frozen=True)
class Policy:
    """`min_length` in characters after NFKC; `common` are passwords in lower case that attackers try first."""

    min_length: int
    common: frozenset[str]

    def reasons(self, password: str, context: Iterable[str] = ()) -> list[Reason]:
        """Everything that is wrong with `password`, nothing for a good one.

        `context` are words that it must not be, such as the user's identifiers; an e-mail address counts also without
        its domain. Case and digits or symbols at the end are ignored when it is compared with a word.
        """
        # Looked at first: for tens of thousands of combining marks the normal form takes a second.
        if len(password) > LONGEST:
            return [Reason.TOO_LONG]
        text = normalize(password)
        if len(text) > MAX_LENGTH:
            return [Reason.TOO_LONG]
        words = _context_words(context)
        folded = text.casefold()
        stem = _stem(folded)
        # A short stem in front of a long tail of digits says little about the whole.
        wholes = {folded, stem} if 2 * len(stem) >= len(folded) else {folded}
        found = {
            Reason.TOO_SHORT: len(text) < self.min_length,
            Reason.COMMON: folded in self.common or stem in self.common,
            Reason.REPEATED: any(self._is_pattern(whole, words) for whole in wholes),
            Reason.CONTEXT: folded in words or stem in words,
        }
        return [reason for reason, applies in found.items() if applies]

    def _is_pattern(self, text: str, words: frozenset[str]) -> bool:
        """Whether it is a row of the alphabet or the keyboard, or a short unit or a known word over and over."""
        unit = _repeated_unit(text)
        repeats = bool(unit) and (
            len(unit) < _SHORT_UNIT or bool({unit, _stem(unit)} & self.common) or bool({unit, _stem(unit)} & words)
        )
        return repeats or _is_row(text)


def _context_words(context: Iterable[str]) -> frozenset[str]:
    folded = [_PRODUCT, *(normalize(word).casefold() for word in context)]
    names = {part for word in folded for part in (word, word.partition("@")[0])}
    return frozenset(word for name in names for word in (name, _stem(name)) if len(word) >= _LEAST_WORD)


def _stem(text: str) -> str:
    """`text` without the digits and symbols at its end."""
    end = len(text)
    while end and not text[end - 1].isalpha():
        end -= 1
    return text[:end]


def _repeated_unit(text: str) -> str:
    """The shortest text that `text` repeats at least twice, the last time perhaps in part; "" without one."""
    for size in range(1, len(text) // 2 + 1):
        if text.startswith(text[size:]):
            return text[:size]
    return ""


def _is_row(text: str) -> bool:
    """Whether it walks along a row, forwards or backwards, and starts again at the end."""
    return any(
        walk in row * (len(text) // len(row) + 2) for row in _ROWS for walk in (text, text[::-1]) if len(text) > 1
    )
