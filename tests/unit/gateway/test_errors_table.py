"""The dialects' tables of errors."""

import re
from collections.abc import Mapping
from typing import Any

import pytest

from gateway.dialects import backoffice, directus, enterprise, oauth2
from gateway.dialects.oauth2 import ERRORS
from shared.errors import ErrorCode

TABLES: dict[str, Mapping[ErrorCode, tuple[Any, ...]]] = {
    "oauth2": oauth2.ERRORS,
    "backoffice": backoffice.ERRORS,
    "enterprise": enterprise.ERRORS,
    "directus": directus.ERRORS,
}
each_table = pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))

_DESCRIPTION = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]+")
"""RFC 6749 §5.2: no quotation mark, no backslash, nothing beyond ASCII."""

TEXTS = [
    *(description for _, _, description in ERRORS.values()),
    *oauth2._INVALID_CLIENT_TEXTS.values(),
    *oauth2._MISSING_PARAMETER_TEXTS.values(),
]


@each_table
def test_total(table: Mapping[ErrorCode, tuple[Any, ...]]) -> None:
    """Every error that can cross the bus has an answer."""
    assert table.keys() == set(ErrorCode)


@each_table
def test_away(table: Mapping[ErrorCode, tuple[Any, ...]]) -> None:
    """What may help to try again is a 503 everywhere, and what is our mistake a 500."""
    for code in (ErrorCode.OVERLOADED, ErrorCode.UNAVAILABLE, ErrorCode.DEADLINE_EXCEEDED):
        assert table[code][0] == 503
    assert table[ErrorCode.INTERNAL][0] == 500


@each_table
def test_too_many(table: Mapping[ErrorCode, tuple[Any, ...]]) -> None:
    """What is refused for coming too often is a 429 everywhere: a client that takes it for a 401 asks for ever."""
    assert table[ErrorCode.RATE_LIMITED][0] == 429


@each_table
def test_one_answer(table: Mapping[ErrorCode, tuple[Any, ...]]) -> None:
    """Nobody learns from an answer whether there is such a user, or why one may not sign in."""
    codes = (
        ErrorCode.NO_SUCH_USER,
        ErrorCode.WRONG_PASSWORD,
        ErrorCode.USER_SUSPENDED,
        ErrorCode.PASSWORD_CHANGE_REQUIRED,
    )
    assert len({table[code] for code in codes}) == 1


@pytest.mark.parametrize("text", TEXTS)
def test_charset(text: str) -> None:
    """Descriptions keep to the characters that RFC 6749 allows."""
    assert _DESCRIPTION.fullmatch(text)


@pytest.mark.parametrize(("status", "word"), [(status, word) for status, word, _ in ERRORS.values()])
def test_status(status: int, word: str) -> None:
    """The word and the status belong together: who is at fault, and whether trying again may help."""
    assert _DESCRIPTION.fullmatch(word)
    assert status in {400, 401, 403, 429, 500, 503}
    assert (status in {429, 503}) == (word == "temporarily_unavailable")
    assert (status == 500) == (word == "server_error")


SIGN_IN = (
    ErrorCode.NO_SUCH_USER,
    ErrorCode.WRONG_PASSWORD,
    ErrorCode.USER_SUSPENDED,
    ErrorCode.PASSWORD_CHANGE_REQUIRED,
    ErrorCode.WRONG_CODE,
    ErrorCode.CODE_EXPIRED,
    ErrorCode.TOO_MANY_ATTEMPTS,
)


def test_merged() -> None:
    """All reasons why a user does not get in have one answer."""
    assert len({ERRORS[code] for code in SIGN_IN}) == 1
