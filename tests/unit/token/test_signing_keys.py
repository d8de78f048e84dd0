"""Signing keys: their names, and what of them is kept."""

import base64
import hashlib
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from services.token.domain import signing_keys
from services.token.domain.signing_keys import KeyWrapper, SigningKey, thumbprint
from shared.contracts.token import SigningAlgorithm
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
MEMBERS: dict[SigningAlgorithm, str] = {"ES256": "crv x y", "RS256": "n e", "EdDSA": "crv x"}
OKP = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}


def secret_bytes(key: SigningKey) -> bytes:
    """The private key in the clear."""
    return key.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


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


@pytest.mark.parametrize(("algorithm", "members"), MEMBERS.items())
def test_public_half_is_public_only(algorithm: SigningAlgorithm, members: str) -> None:
    """What is published has no private part, and says what the key is for."""
    jwk = signing_keys.generate(algorithm).public_jwk
    assert set(jwk) == {*members.split(), "kty", "kid", "use", "alg"}
    assert (jwk["use"], jwk["alg"]) == ("sig", algorithm)


def test_rsa_keys_are_long_enough() -> None:
    """An RSA key has the 2048 bits that RFC 7518 §3.3 asks for."""
    modulus = signing_keys.generate("RS256").public_jwk["n"]
    assert len(base64.urlsafe_b64decode(modulus + "==")) == 256


def test_no_name_begins_with_a_dash() -> None:
    """A key's name can be pasted into a command line as it is."""
    assert not any(signing_keys.generate("EdDSA").kid.startswith("-") for _ in range(300))


@pytest.mark.parametrize("algorithm", MEMBERS)
def test_wrapped_and_unwrapped(algorithm: SigningAlgorithm) -> None:
    """A key comes back the same, never wraps to the same bytes twice, and is unreadable meanwhile."""
    wrapper = KeyWrapper(bytes(32), SeededEntropy())
    key = signing_keys.generate(algorithm)
    first, second = wrapper.wrap(key), wrapper.wrap(key)
    unwrapped = wrapper.unwrap(key.kid, first)
    assert secret_bytes(unwrapped) == secret_bytes(key)
    assert replace(unwrapped, private_key=key.private_key) == key
    assert first[:12] != second[:12]
    assert secret_bytes(key)[-32:] not in first


def test_change_of_the_wrapping_key() -> None:
    """With the previous wrapping key the old keys can be read and wrapped anew; after that the new one is enough."""
    old, new = KeyWrapper(bytes(32), SeededEntropy()), KeyWrapper(b"x" * 32, SeededEntropy())
    both = KeyWrapper(b"x" * 32, SeededEntropy(1), previous=bytes(32))
    key = signing_keys.generate()
    wrapped = old.wrap(key)
    assert both.unwrap(key.kid, wrapped).public_jwk == key.public_jwk
    assert new.unwrap(key.kid, both.rewrap(key.kid, wrapped)).public_jwk == key.public_jwk
    assert new.unwrap(key.kid, both.wrap(key)).public_jwk == key.public_jwk
    assert both.id == new.id != old.id
    with pytest.raises(Error, match="cannot be decrypted"):
        new.rewrap(key.kid, wrapped)


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
