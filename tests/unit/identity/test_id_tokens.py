"""id_tokens: which count."""

import json
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey
from joserfc.jws import JWSRegistry, serialize_compact

from services.identity.providers.id_tokens import UnknownKeyError, claims_of
from shared.errors import Error
from shared.json_bytes import json_bytes

ISSUER, CLIENT, NONCE, ACCESS_TOKEN = "https://accounts.example.com", "dragoman", "a nonce", "an access token"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = ECKey.generate_key("P-256", {"kid": "one"}, private=True)
STRANGER = ECKey.generate_key("P-256", {"kid": "one"}, private=True)
SECOND = RSAKey.generate_key(2048, {"kid": "two"}, private=True)
ANY_HEADER = JWSRegistry(strict_check_header=False)
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "sub": "person-1",
    "aud": CLIENT,
    "iat": int(NOW.timestamp()),
    "exp": int(NOW.timestamp()) + 300,
    "nonce": NONCE,
}


def token(changed: dict[str, Any] | None = None, key: ECKey | RSAKey = KEY, **header: Any) -> str:
    """An id_token; a claim that was changed to None is left out."""
    claims = {name: value for name, value in (CLAIMS | (changed or {})).items() if value is not None}
    algorithm = "ES256" if isinstance(key, ECKey) else "RS256"
    # As JSON with nothing beyond ASCII, which can also carry what is no text.
    return serialize_compact({"alg": algorithm, "kid": key.kid, **header}, json.dumps(claims), key, registry=ANY_HEADER)


def read(text: object, keys: KeySet | None = None) -> dict[str, Any]:
    """The claims of an id_token, as of somebody who signs in at `NOW`."""
    known = KeySet([KEY, SECOND]) if keys is None else keys
    return claims_of(text, known, issuer=ISSUER, client_id=CLIENT, nonce=NONCE, access_token=ACCESS_TOKEN, now=NOW)


def half_hash(text: str) -> str:
    """The at_hash of an access token (OpenID Connect Core §3.1.3.6)."""
    return encoded(sha256(text.encode()).digest()[:16])


def encoded(value: bytes) -> str:
    """Base64url without padding."""
    return urlsafe_b64encode(value).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"aud": [CLIENT]},
        {"aud": [CLIENT, "another"], "azp": CLIENT},
        {"exp": int(NOW.timestamp()) - 59},
        {"iat": int(NOW.timestamp()) + 59},
        {"at_hash": half_hash(ACCESS_TOKEN)},
        {"email": "someone@example.com", "groups": [{"any": "thing"}]},
    ],
)
def test_tokens_that_count(changed: dict[str, Any]) -> None:
    """A token of the issuer for this client and sign-in counts, with clocks a minute apart and claims of any kind."""
    assert read(token(changed))["sub"] == "person-1"


def test_each_kind_of_key() -> None:
    """Keys are chosen by their name; a provider with one key need not name it."""
    assert read(token(key=SECOND))["sub"] == "person-1"
    unnamed = jwt.encode({"alg": "ES256"}, CLAIMS, KEY)
    assert read(unnamed, KeySet([KEY]))["sub"] == "person-1"
    assert read(token(x_of_their_own=True))["sub"] == "person-1"


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://elsewhere.example.com"},
        {"iss": f"{ISSUER}/"},
        {"iss": None},
        {"aud": "another"},
        {"aud": ["another"]},
        {"aud": ["another"], "azp": CLIENT},
        {"aud": [CLIENT, "another"]},
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"aud": None},
        {"azp": "another"},
        {"sub": None},
        {"sub": ""},
        {"sub": 1},
        {"exp": int(NOW.timestamp()) - 60},
        {"exp": None},
        {"exp": "tomorrow"},
        {"iat": int(NOW.timestamp()) + 61},
        {"iat": None},
        {"nbf": int(NOW.timestamp()) + 61},
        {"nonce": "another nonce"},
        {"nonce": None},
        {"nonce": [NONCE]},
        {"nonce": "\ud800"},
        {"at_hash": half_hash("another access token")},
        {"at_hash": 1},
    ],
)
def test_tokens_that_do_not_count(changed: dict[str, Any]) -> None:
    """Whatever is another issuer's, client's, sign-in's or time's is refused, and its claims are not repeated."""
    with pytest.raises(Error) as caught:
        read(token(changed))
    assert caught.value.code == "wrong_password"
    assert "another" not in caught.value.message.removesuffix("another nonce")


def unsigned(**header: Any) -> str:
    """A token that nobody has signed."""
    return f"{encoded(json_bytes(header))}.{encoded(json_bytes(CLAIMS))}."


@pytest.mark.parametrize(
    "text",
    [
        None,
        1,
        "",
        "a.b.c",
        "..",
        unsigned(alg="none"),
        unsigned(alg="None", kid="one"),
        unsigned(kid="one"),
        unsigned(alg=["ES256"], kid="one"),
        unsigned(alg="ES256", kid="one"),
        jwt.encode({"alg": "HS256", "kid": "one"}, CLAIMS, OctKey.import_key("the client's secret, that two know")),
        jwt.encode({"alg": "HS256", "kid": "two"}, CLAIMS, OctKey.import_key(SECOND.as_pem(private=False)[27:-26])),
        token(key=STRANGER),
        f"{encoded(json_bytes({'alg': 'ES256', 'kid': 'one', 'crit': ['b64']}))}.{encoded(b'{}')}.AAAA",
        f"{encoded(b'[' * 300)}.{encoded(b'{}')}.AAAA",
        f"{encoded(json_bytes([]))}.{encoded(b'{}')}.AAAA",
    ],
)
def test_what_nobody_signed(text: object) -> None:
    """No signature, one by a secret, one by a stranger and what is no token at all are refused alike."""
    with pytest.raises(Error) as caught:
        read(text)
    assert caught.value.code == "wrong_password"


def test_unknown_key() -> None:
    """A key of which nobody knows is told apart: the provider may have a new one."""
    with pytest.raises(UnknownKeyError):
        read(token(kid="three"))
    with pytest.raises(UnknownKeyError):
        read(token(), KeySet([]))
