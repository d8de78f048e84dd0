"""Access tokens as those who verify them read them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import jwt
import pytest

from services.token.domain import access_tokens, signing_keys

KEY = signing_keys.generate()
ISSUED = datetime(2026, 1, 1, 12, 0, 0, 900_000, tzinfo=UTC)


def sign(**changed: Any) -> str:
    """A token with some things changed."""
    given: dict[str, Any] = {
        "issuer": "https://id.example.com",
        "subject": "abc123",
        "audiences": ("https://api.example.com",),
        "client_id": "abc123",
        "scope": None,
        "token_id": UUID(int=5),
        "issued_at": ISSUED,
        "seconds": 3600,
    }
    return access_tokens.sign_access_token(KEY, **given | changed)


def claims(token: str, audience: str = "https://api.example.com") -> dict[str, Any]:
    """What the token says, its signature verified with the published key; time is checked by the test."""
    key = jwt.PyJWK(KEY.public_jwk)
    read: dict[str, Any] = jwt.decode(
        token, key, algorithms=["ES256"], audience=audience, options={"verify_exp": False, "verify_iat": False}
    )
    return read


def test_claims_of_a_client() -> None:
    """A client's token has exactly what RFC 9068 §2.2 requires, and its header the type and the key."""
    token = sign()
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "typ": "at+jwt", "kid": KEY.kid}
    issued = int(ISSUED.timestamp())
    assert claims(token) == {
        "iss": "https://id.example.com",
        "sub": "abc123",
        "aud": "https://api.example.com",
        "client_id": "abc123",
        "iat": issued,
        "exp": issued + 3600,
        "jti": str(UUID(int=5)),
    }


def test_claims_of_a_user() -> None:
    """A user's token also names the session, when and how they signed in, and the scope."""
    read = claims(sign(scope="read write", session={"sid": "s", "auth_time": 1, "amr": ["pwd"]}))
    assert (read["scope"], read["sid"], read["auth_time"], read["amr"]) == ("read write", "s", 1, ["pwd"])


def test_several_audiences() -> None:
    """A token for several audiences is accepted by each of them."""
    token = sign(audiences=("https://a.example.com", "https://b.example.com"))
    assert claims(token, "https://b.example.com")["aud"] == ["https://a.example.com", "https://b.example.com"]


def test_reading_a_token_back() -> None:
    """A token of ours that is in its time says what it says."""
    read, kid = access_tokens.read_access_token(sign(), [KEY.public_jwk], issuer="https://id.example.com", now=ISSUED)
    assert (read or {})["sub"] == "abc123"
    assert kid == KEY.kid


@pytest.mark.parametrize("form", ["{}==", "{}=", "{}\n", " {}", "{}*", "{}.", ".{}", "{}.x", "{}é"])
def test_another_form_of_a_token(form: str) -> None:
    """A token has one form: with anything that decoders of base64 pass over it is none."""
    header, claims_, signature = sign().split(".")
    for odd in (
        form.format(sign()),
        ".".join((form.format(header), claims_, signature)),
        ".".join((header, form.format(claims_), signature)),
    ):
        read = access_tokens.read_access_token(odd, [KEY.public_jwk], issuer="https://id.example.com", now=ISSUED)
        assert read == (None, "")
