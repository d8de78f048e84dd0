"""The oauth2 dialect's table of errors."""

import re

import pytest

from gateway.dialects import oauth2
from gateway.dialects.oauth2 import ERRORS
from shared.errors import ErrorCode

_DESCRIPTION = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]+")
"""RFC 6749 §5.2: no quotation mark, no backslash, nothing beyond ASCII."""

TEXTS = [
    *(description for _, _, description in ERRORS.values()),
    *oauth2._INVALID_CLIENT_TEXTS.values(),
    *oauth2._MISSING_PARAMETER_TEXTS.values(),
]


def test_total() -> None:
    """Every error that can cross the bus has an answer."""
    assert ERRORS.keys() == set(ErrorCode)


@pytest.mark.parametrize("text", TEXTS)
def test_charset(text: str) -> None:
    """Descriptions keep to the characters that RFC 6749 allows."""
    assert _DESCRIPTION.fullmatch(text)


@pytest.mark.parametrize(("status", "word"), [(status, word) for status, word, _ in ERRORS.values()])
def test_status(status: int, word: str) -> None:
    """The word and the status belong together: who is at fault, and whether trying again may help."""
    assert _DESCRIPTION.fullmatch(word)
    assert status in {400, 401, 403, 500, 503}
    assert (status == 503) == (word == "temporarily_unavailable")
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
