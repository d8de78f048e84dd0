"""What is wrong with fields, in words."""

from typing import Annotated, Any

import pytest
from pydantic import Field, SecretStr

from gateway.dialects.fields import Fields, SecretText, Text, parse, password_problems
from shared.errors import Error, ErrorCode


class Example(Fields):
    """One field of each kind."""

    name: Text
    secret: SecretText
    word: Annotated[SecretStr, Field(min_length=3, max_length=5)] = SecretStr("word")


def test_good() -> None:
    """Fields that are right come as they were sent; others are passed over."""
    read = parse(Example, {"name": " a ", "secret": "b", "word": "12345", "more": {"x": 1}})
    assert (read.name, read.secret.get_secret_value(), read.word.get_secret_value()) == (" a ", "b", "12345")


@pytest.mark.parametrize(
    ("changed", "problems"),
    [
        ({"name": ""}, {"name": "This field is required."}),
        ({"name": None}, {"name": "This value should be a string."}),
        ({"name": 7, "secret": ["b"]}, dict.fromkeys(("name", "secret"), "This value should be a string.")),
        ({"secret": ""}, {"secret": "This field is required."}),
        ({"secret": 123456}, {"secret": "This value should be a string."}),
        ({"word": "12"}, {"word": "This value needs at least 3 characters."}),
        ({"word": "123456"}, {"word": "This value may have at most 5 characters."}),
    ],
)
def test_wrong(changed: dict[str, Any], problems: dict[str, str]) -> None:
    """Each field that is wrong is named with what is wrong with it, never with its value."""
    with pytest.raises(Error) as refused:
        parse(Example, {"name": "a", "secret": "b"} | changed)
    assert refused.value.code == ErrorCode.INVALID_REQUEST
    assert refused.value.detail == {"fields": problems}


def test_missing() -> None:
    """All that is missing is told at once."""
    with pytest.raises(Error) as refused:
        parse(Example, {})
    assert refused.value.detail["fields"] == dict.fromkeys(("name", "secret"), "This field is required.")


@pytest.mark.parametrize(
    ("detail", "words"),
    [
        ({"reasons": ["too_short"], "min_length": 12}, ["at least 12 characters"]),
        ({"reasons": ["too_short"]}, ["more characters"]),
        ({"reasons": ["common", "context"], "min_length": 12}, ["not a common one", "not the user's name or address"]),
        ({"reasons": ["same_as_before"]}, ["not the same as before"]),
        ({"reasons": ["of_a_newer_version"]}, ["of_a_newer_version"]),
        ({}, []),
    ],
)
def test_password_problems(detail: dict[str, Any], words: list[str]) -> None:
    """Why a password is refused is told in words, also when it is a reason that this version does not know."""
    assert password_problems(detail) == words
