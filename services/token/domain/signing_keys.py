"""Signing keys: made, named by their thumbprint, encrypted at rest."""

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from jwt.algorithms import ECAlgorithm

from shared.entropy import Entropy
from shared.errors import Error, ErrorCode

Algorithm = Literal["ES256"]

_NONCE_BYTES = 12
_THUMBPRINT_MEMBERS = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key in use, and its public half as a JWK (RFC 7517)."""

    kid: str
    algorithm: Algorithm
    private_key: EllipticCurvePrivateKey
    public_jwk: dict[str, Any]


def generate() -> SigningKey:
    """A new ES256 key (RFC 7518 §3.4)."""
    return _key(generate_private_key(SECP256R1()))


def _key(private_key: EllipticCurvePrivateKey) -> SigningKey:
    jwk = ECAlgorithm.to_jwk(private_key.public_key(), as_dict=True)
    kid = thumbprint(jwk)
    return SigningKey(kid, "ES256", private_key, jwk | {"kid": kid, "use": "sig", "alg": "ES256"})


def thumbprint(jwk: dict[str, Any]) -> str:
    """The name of a key by its content (RFC 7638 §3): no two keys share it, and nobody has to number them."""
    required = _THUMBPRINT_MEMBERS[jwk["kty"]]
    canonical = json.dumps({name: jwk[name] for name in required}, sort_keys=True, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(canonical.encode()).digest()).rstrip(b"=").decode()


class KeyWrapper:
    """Encrypts private keys at rest with AES-256-GCM, bound to their `kid` so that none passes for another."""

    def __init__(self, key: bytes, entropy: Entropy) -> None:
        self._cipher = AESGCM(key)
        self._entropy = entropy

    def wrap(self, key: SigningKey) -> bytes:
        """The private key as it is stored."""
        der = key.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        nonce = self._entropy.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, der, key.kid.encode())

    def unwrap(self, kid: str, wrapped: bytes) -> SigningKey:
        """The key again. Raises `internal` when it was wrapped under another wrapping key or for another `kid`."""
        try:
            der = self._cipher.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], kid.encode())
        except (InvalidTag, ValueError):
            message = f"signing key {kid} cannot be decrypted: is DRAGOMAN_TOKEN_WRAPPING_KEY another one than before"
            raise Error(ErrorCode.INTERNAL, message) from None
        return _key(cast("EllipticCurvePrivateKey", load_der_private_key(der, password=None)))
