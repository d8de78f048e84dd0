"""Signing keys: their names, and what of them is kept."""

import base64
import hashlib
from dataclasses import replace

import pytest

from services.token.domain import signing_keys
from services.token.domain.signing_keys import KeyWrapper, thumbprint
from shared.errors import Error, ErrorCode
from shared.testing import SeededEntropy

RSA = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjB"
    "ZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8"
    "KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_"
    "xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}
OKP = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}


def test_thumbprints_of_the_standards() -> None:
    """Key ids are RFC 7638 thumbprints: the examples of RFC 7638 §3.1 and RFC 8037 A.3 come out."""
    assert thumbprint(RSA) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert thumbprint(OKP) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_thumbprint_of_our_own_key() -> None:
    """The `kid` of an EC key is the hash of its required members in order, whatever else the JWK says."""
    key = signing_keys.generate()
    x, y = key.public_jwk["x"], key.public_jwk["y"]
    digest = hashlib.sha256(f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'.encode()).digest()
    assert key.kid == key.public_jwk["kid"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def test_public_half_is_public_only() -> None:
    """What is published has no private part, and says what the key is for."""
    jwk = signing_keys.generate().public_jwk
    assert set(jwk) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert (jwk["kty"], jwk["crv"], jwk["use"], jwk["alg"]) == ("EC", "P-256", "sig", "ES256")


def test_wrapped_and_unwrapped() -> None:
    """A key comes back the same, never wraps to the same bytes twice, and is unreadable meanwhile."""
    wrapper = KeyWrapper(bytes(32), SeededEntropy())
    key = signing_keys.generate()
    first, second = wrapper.wrap(key), wrapper.wrap(key)
    unwrapped = wrapper.unwrap(key.kid, first)
    assert unwrapped.private_key.private_numbers() == key.private_key.private_numbers()
    assert replace(unwrapped, private_key=key.private_key) == key
    assert first[:12] != second[:12]
    assert key.private_key.private_numbers().private_value.to_bytes(32) not in first


def test_another_wrapping_key() -> None:
    """Under another wrapping key the failure names the setting to look at."""
    key = signing_keys.generate()
    wrapped = KeyWrapper(bytes(32), SeededEntropy()).wrap(key)
    with pytest.raises(Error, match="DRAGOMAN_TOKEN_WRAPPING_KEY") as caught:
        KeyWrapper(b"x" * 32, SeededEntropy()).unwrap(key.kid, wrapped)
    assert caught.value.code == ErrorCode.INTERNAL


@pytest.mark.parametrize("spoil", [lambda w: w[:-1], lambda w: w[:-1] + bytes([w[-1] ^ 1]), lambda w: w[:5]])
def test_spoiled_or_swapped(spoil: "object") -> None:
    """A stored key that was altered, cut short or put under another key's name is refused clearly."""
    wrapper = KeyWrapper(bytes(32), SeededEntropy())
    key, other = signing_keys.generate(), signing_keys.generate()
    wrapped = wrapper.wrap(key)
    assert callable(spoil)
    for kid, stored in ((key.kid, spoil(wrapped)), (other.kid, wrapped)):
        with pytest.raises(Error, match="cannot be decrypted"):
            wrapper.unwrap(kid, stored)
