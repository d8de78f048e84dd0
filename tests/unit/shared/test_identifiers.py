"""One person, one account: identifiers in the one form in which they are stored and compared."""

import string
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import identifiers
from shared.errors import Error, ErrorCode
from shared.identifiers import Identifier

REGION = "DE"
USERNAMES = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=70)
LOCAL_PARTS = st.text(string.ascii_letters + string.digits + "+._-äÖßİΣé", min_size=1, max_size=20)
DOMAINS = st.sampled_from(["example.com", "EXAMPLE.com", "bücher.example.com", "BÜCHER.de", "xn--bcher-kva.de"])
PHONES = st.text(string.digits + "+ ()./-", min_size=1, max_size=24)


def refused(kind: str, text: str) -> bool:
    """Whether the text is refused as this kind of identifier, by the name of the field."""
    try:
        identifiers.phone(text, REGION) if kind == "phone" else getattr(identifiers, kind)(text)
    except Error as error:
        return (error.code, error.detail) == (ErrorCode.INVALID_REQUEST, {"field": kind})
    return False


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("Someone@Example.COM", "someone@example.com"),
        ("  someone@example.com\n", "someone@example.com"),
        ("some.one+shop@example.com", "some.one+shop@example.com"),
        ("someone@BÜCHER.de", "someone@bücher.de"),
        ("someone@xn--bcher-kva.de", "someone@bücher.de"),
        ("someone@bu\u0308cher.de", "someone@bücher.de"),
        ("Jose\u0301@example.com", "josé@example.com"),
        ("ÄÖ@example.com", "äö@example.com"),
    ],
)
def test_one_form_of_an_email(text: str, canonical: str) -> None:
    """Case, surrounding space, Unicode composition and the domain's spelling make no second account; plus-tags do."""
    assert identifiers.email(text) == Identifier("email", canonical)


@pytest.mark.parametrize(
    "text",
    [
        *("", "@", "someone", "someone@", "@example.com", "a@b@example.com", "some one@example.com", "a@example..com"),
        *("Some One <someone@example.com>", "someone@[127.0.0.1]", "someone@localhost", "a\0@example.com"),
        *("a\r\nBcc: x@example.com", "x" * 321 + "@example.com", '"a b"@example.com'),
        "=?utf-8?q?someone?=@example.com",
    ],
)
def test_no_email(text: str) -> None:
    """What no message could be sent to, or what could carry a second header, is refused."""
    assert refused("email", text)


@given(st.builds("{}@{}".format, LOCAL_PARTS, DOMAINS))
def test_canonical_email_is_stable(text: str) -> None:
    """The canonical form of an e-mail address is its own canonical form, and upper case leads to the same."""
    if not refused("email", text):
        found = identifiers.email(text)
        assert identifiers.email(found.value) == found
        assert identifiers.identifier(text, REGION) == found


@pytest.mark.parametrize(
    "text",
    [
        *("+4915112345678", "0151 12345678", "0151/123 456 78", "+49 (0) 151 12345678", "+49-151-1234.5678"),
        *("004915112345678", " 015112345678 "),
    ],
)
def test_one_form_of_a_phone(text: str) -> None:
    """However a number is written, with or without the country, it is one account."""
    assert identifiers.phone(text, REGION) == Identifier("phone", "+4915112345678")


def test_phone_of_the_seed() -> None:
    """The number in the documented example request, written without a country, is accepted."""
    assert identifiers.phone("02345678901234", REGION).value == "+492345678901234"


@pytest.mark.parametrize("text", ["", "abc", "12", "+", "+49", "0151 12345678 ext. 5", "1" * 40, "٠١٥١١٢٣٤٥٦٧٨"])
def test_no_phone(text: str) -> None:
    """What cannot be dialled is refused."""
    assert refused("phone", text)


@pytest.mark.parametrize(("text", "region"), [("555-1234", "US"), ("+1 555-1234", "DE")])
def test_local_number(text: str, region: str) -> None:
    """A number without its area code, which is somebody else's in each town, is refused."""
    with pytest.raises(Error):
        identifiers.phone(text, region)


@given(PHONES, st.sampled_from(["DE", "US", "IT", "NZ", "AR", "MX"]))
def test_canonical_phone_is_stable(text: str, region: str) -> None:
    """The canonical form of a number is its own canonical form, in whatever country the operator sits."""
    try:
        found = identifiers.phone(text, region)
    except Error:
        return
    assert found.value.startswith("+")
    assert identifiers.phone(found.value, REGION) == found
    assert identifiers.identifier(found.value, REGION) == found


@pytest.mark.parametrize(
    ("text", "canonical"), [("Admin", "admin"), (" j.doe_1-x ", "j.doe_1-x"), ("ＡＤＭＩＮ", "admin"), ("a", "a")]
)
def test_one_form_of_a_username(text: str, canonical: str) -> None:
    """Case, surrounding space and full-width letters make no second account."""
    assert identifiers.username(text) == Identifier("username", canonical)


@pytest.mark.parametrize(
    "text",
    [
        *("", ".a", "a.", "-a", "a b", "a@b", "a\0b", "ädmin", "аdmin", "x" * 65, "a\n\nb"),
        *("123456", "12-34-56", "2024.01.01", "1", "9b2f6a1c-0f5e-4a64-8a43-2d1a3f4b5c6d"),
    ],
)
def test_no_username(text: str) -> None:
    """What looks like another name, a phone number, an e-mail address or an id is refused."""
    assert refused("username", text)


@given(USERNAMES)
def test_usernames_can_be_used(text: str) -> None:
    """Whoever was given a username can sign in with it: it is never taken for anything else."""
    if not refused("username", text):
        found = identifiers.username(text)
        assert identifiers.username(found.value) == found
        assert identifiers.identifier(text, REGION) == identifiers.identifier(found.value, REGION) == found


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Someone@Example.com", "email"),
        ("+49 151 12345678", "phone"),
        ("0151/12345678", "phone"),
        ("admin", "username"),
        ("1st-admin", "username"),
        (str(UUID(int=1)), "id"),
        (str(UUID(int=1)).upper(), "id"),
        ("9b2f6a1c0f5e4a648a432d1a3f4b5c6d", "username"),
    ],
)
def test_what_a_text_is_taken_for(text: str, kind: str) -> None:
    """An @ makes an e-mail address, digits a phone number, a UUID an id, anything else a username."""
    found = identifiers.identifier(text, REGION)
    assert found is not None
    assert found.kind == kind


@given(st.text(max_size=400))
def test_any_text_names_somebody_or_nobody(text: str) -> None:
    """Whatever is typed as an identifier is taken for one or for none, and never fails."""
    found = identifiers.identifier(text, REGION)
    assert found is None or identifiers.identifier(found.value, REGION) == found
