"""What a client may be called and ask for, and how its secrets are kept."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.token.domain import clients
from shared.entropy import SystemEntropy
from shared.errors import Error, ErrorCode
from shared.testing import SeededEntropy

SCOPES = ("read", "write", "users:read")


@pytest.mark.parametrize("requested", [None, "", "  "])
def test_nothing_asked_nothing_granted(requested: str | None) -> None:
    """A request without a scope is granted none, not everything that the client might have."""
    assert clients.narrow_scope(requested, SCOPES) is None


def test_granted_as_asked() -> None:
    """What is allowed is granted in the order in which it was asked for, each word once."""
    assert clients.narrow_scope("write  read write", SCOPES) == "write read"


@pytest.mark.parametrize("requested", ["read admin", "READ", "read,write", "\0", "rea"])
def test_all_or_nothing(requested: str) -> None:
    """One scope too many, or one that is spelled differently, refuses the whole request."""
    with pytest.raises(Error) as caught:
        clients.narrow_scope(requested, SCOPES)
    assert caught.value.code == ErrorCode.INVALID_SCOPE


@given(st.lists(st.sampled_from(SCOPES)))
def test_narrowing_is_stable(words: list[str]) -> None:
    """What was granted once is granted again, and is never more than what was allowed."""
    granted = clients.narrow_scope(" ".join(words), SCOPES)
    assert clients.narrow_scope(granted, SCOPES) == granted
    assert set((granted or "").split()) == set(words)


@pytest.mark.parametrize("client_id", ["abc123", "a", "my.app_1~x-y", "x" * 100])
def test_good_client_ids(client_id: str) -> None:
    """Names of letters, digits and the marks that need no escaping are client ids."""
    clients.check_registration(client_id, "", list(SCOPES), ["https://api.example.com"])


@pytest.mark.parametrize(
    "client_id",
    [*("", "x" * 101, "a b", "a:b", "a\0b", "ä", "a\n"), "9b2f6a1c-0f5e-4a64-8a43-2d1a3f4b5c6d", f"{2**127:x}"],
)
def test_bad_client_ids(client_id: str) -> None:
    """What would need escaping, or could be taken for a user's id, is refused by the name of the field."""
    with pytest.raises(Error) as caught:
        clients.check_registration(client_id, "", [], [])
    assert (caught.value.code, caught.value.detail) == (ErrorCode.INVALID_REQUEST, {"field": "client_id"})


@pytest.mark.parametrize(
    ("name", "scopes", "audiences", "field"),
    [
        ("", ["read", ""], [], "scopes"),
        ("", ["read write"], [], "scopes"),
        ("", ['"read"'], [], "scopes"),
        ("", ["a\\b"], [], "scopes"),
        ("", [], [""], "audiences"),
        ("", [], ["x" * 201], "audiences"),
        ("", [], ["https://api\0"], "audiences"),
        ("a\0b", [], [], "name"),
        ("x" * 201, [], [], "name"),
    ],
)
def test_bad_registrations(name: str, scopes: list[str], audiences: list[str], field: str) -> None:
    """A name, scope or audience that could not be used later is refused at once, with the name of the field."""
    with pytest.raises(Error) as caught:
        clients.check_registration("abc", name, scopes, audiences)
    assert (caught.value.code, caught.value.detail) == (ErrorCode.INVALID_REQUEST, {"field": field})


def test_generated_secret() -> None:
    """A generated secret has 256 bits of its own, says whose it is and is kept as its SHA-256."""
    secret = clients.generate_secret(SystemEntropy())
    assert secret.startswith("dragoman_cs_")
    assert len(secret.removeprefix("dragoman_cs_")) == 43
    assert clients.generate_secret(SeededEntropy(1)) != clients.generate_secret(SeededEntropy(2))
    assert clients.digest_generated(secret) == hashlib.sha256(secret.encode()).hexdigest()
    assert clients.matches_generated(secret, clients.digest_generated(secret))
    assert not clients.matches_generated(secret + "x", clients.digest_generated(secret))


def test_brought_secret() -> None:
    """A secret that was brought along is kept as argon2id and compared; a damaged hash matches nothing."""
    digest = clients.digest_brought("456789")
    assert digest.startswith("$argon2id$")
    assert clients.matches_brought("456789", digest)
    assert not clients.matches_brought("456788", digest)
    assert not clients.matches_brought("456789", "$argon2id$damaged")
