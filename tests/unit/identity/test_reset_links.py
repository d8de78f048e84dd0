"""Links that reset a password: nothing but the token changes in them, and no other token is taken for one."""

from uuid import UUID

import pytest

from services.identity.domain import reset_links
from shared.errors import Error, ErrorCode

SOMEBODY = UUID("5fe01739-fe5a-4fb1-9711-aa04ac91dfde")
HANDLE = "X-AXOf5aT7GXEaoErJHf3g"
CODE = "k" * 64
PLACE = f"token={HANDLE}.{{code}}"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://app.example.com/reset", f"https://app.example.com/reset?{PLACE}"),
        ("https://app.example.com/reset?", f"https://app.example.com/reset?{PLACE}"),
        ("https://app.example.com/r?lang=de&b=%20c", f"https://app.example.com/r?lang=de&b=%20c&{PLACE}"),
        ("https://app.example.com/r#/reset", f"https://app.example.com/r?{PLACE}#/reset"),
        ("https://app.example.com/r?token=old&a=1", f"https://app.example.com/r?a=1&{PLACE}"),
        ("https://app.example.com/{code}?x={code}", f"https://app.example.com/%7Bcode%7D?x=%7Bcode%7D&{PLACE}"),
    ],
)
def test_link(url: str, expected: str) -> None:
    """The token becomes one parameter of the URL, with the one place for the code, and the rest stays as it was."""
    made = reset_links.link(url, SOMEBODY)
    assert made == expected
    assert made.count("{code}") == 1


def test_url_that_is_none() -> None:
    """What cannot be read as a URL is refused by the name of the field."""
    with pytest.raises(Error) as caught:
        reset_links.link("https://[::1/reset", SOMEBODY)
    assert (caught.value.code, caught.value.detail) == (ErrorCode.INVALID_REQUEST, {"field": "reset_url"})


def test_token_comes_back() -> None:
    """The token of a link says whose it is and which code it holds."""
    token = reset_links.link("https://x.example/", SOMEBODY).partition("token=")[2].replace("{code}", CODE)
    assert reset_links.parse(token) == (SOMEBODY, CODE)


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        CODE,
        f".{CODE}",
        f"{HANDLE}.",
        f"{HANDLE}{CODE}",
        f"{HANDLE}.{CODE}.{CODE}",
        f"{HANDLE}.{CODE}\n",
        f"{HANDLE}.{{code}}",
        f"{HANDLE[:-1]}.{CODE}",
        f"{HANDLE[:-1]}h.{CODE}",  # the same bytes, written in another way
        f"{HANDLE}.{'k' * 201}",
        f"{HANDLE}.123456",
        str(SOMEBODY),
        "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        "\0" * 87,
        "ä" * 22 + "." + CODE,
    ],
)
def test_token_that_we_did_not_make(token: str) -> None:
    """Whatever else comes as a token is refused as such."""
    with pytest.raises(Error) as caught:
        reset_links.parse(token)
    assert caught.value.code == ErrorCode.INVALID_TOKEN
