"""The error that crosses the bus."""

import pytest
from pydantic import ValidationError

from shared.errors import Error, ErrorCode, unavailable


def test_an_error_comes_back_as_it_was() -> None:
    """Code, message, retry_after and detail survive the wire."""
    error = Error(ErrorCode.WEAK_PASSWORD, "too short – ü", retry_after=0.5, detail={"reasons": ["length"], "n": 1})
    again = Error.from_json(error.to_json())
    assert (again.code, again.message, again.retry_after, again.detail) == (
        error.code,
        error.message,
        error.retry_after,
        error.detail,
    )


def test_a_code_from_the_future_is_internal() -> None:
    """An older caller survives a newer service's error, and keeps its message."""
    error = Error.from_json(b'{"code":"since_v7","message":"m","colour":"red"}')
    assert (error.code, error.message, error.retry_after, error.detail) == (ErrorCode.INTERNAL, "m", None, {})


def test_what_is_no_error_is_refused() -> None:
    """Garbage is not taken for an error."""
    with pytest.raises(ValidationError):
        Error.from_json(b'{"message":"m"}')


def test_unavailable_says_when_to_try_again() -> None:
    """The edge can always tell a client how long to wait."""
    assert unavailable("gone").retry_after == 1.0
    assert str(unavailable("gone")) == "unavailable: gone"
