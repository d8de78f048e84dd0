"""Signing keys: made, named by their thumbprint, encrypted at rest."""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from shared.contracts.token import SigningAlgorithm
from shared.entropy import Entropy
from shared.errors import Error, ErrorCode

PrivateKey = EllipticCurvePrivateKey | RSAPrivateKey | Ed25519PrivateKey

_NONCE_BYTES = 12
_RSA_BITS = 2048
"""What every verifier takes (RFC 7518 §3.3). 3072 would sign at a third of the speed, on the event loop, to withstand
factoring for decades, while what these keys sign is worthless after a day."""
_PUBLIC_MEMBERS = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key in use, and its public half as a JWK (RFC 7517)."""

    kid: str
    algorithm: SigningAlgorithm
    private_key: PrivateKey
    public_jwk: dict[str, Any]


def generate(algorithm: SigningAlgorithm = "ES256") -> SigningKey:
    """A new key (RFC 7518 §3.3 and §3.4, RFC 8037). RSA takes a tenth of a second: not for the event loop."""
    while True:
        key = _key(_generate(algorithm))
        # A name that begins with a dash would be an option to every command line that it is pasted into.
        if not key.kid.startswith("-"):
            return key


def _generate(algorithm: SigningAlgorithm) -> PrivateKey:
    if algorithm == "RS256":
        return rsa.generate_private_key(65537, _RSA_BITS)
    return Ed25519PrivateKey.generate() if algorithm == "EdDSA" else ec.generate_private_key(ec.SECP256R1())


def _key(private_key: PrivateKey) -> SigningKey:
    algorithm: SigningAlgorithm
    if isinstance(private_key, RSAPrivateKey):
        algorithm, jwk = "RS256", RSAAlgorithm.to_jwk(private_key.public_key(), as_dict=True)
    elif isinstance(private_key, Ed25519PrivateKey):
        algorithm, jwk = "EdDSA", OKPAlgorithm.to_jwk(private_key.public_key(), as_dict=True)
    else:
        algorithm, jwk = "ES256", ECAlgorithm.to_jwk(private_key.public_key(), as_dict=True)
    # Named one by one: whatever else a library may put there, a private member is never published.
    public = {name: value for name, value in jwk.items() if name in _PUBLIC_MEMBERS[jwk["kty"]]}
    kid = thumbprint(public)
    return SigningKey(kid, algorithm, private_key, public | {"kid": kid, "use": "sig", "alg": algorithm})


def thumbprint(jwk: dict[str, Any]) -> str:
    """The name of a key by its content (RFC 7638 §3): no two keys share it, and nobody has to number them."""
    required = _PUBLIC_MEMBERS[jwk["kty"]]
    canonical = json.dumps({name: jwk[name] for name in required}, sort_keys=True, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(canonical.encode()).digest()).rstrip(b"=").decode()


class KeyWrapper:
    """Encrypts private keys at rest with AES-256-GCM, bound to their `kid` so that none passes for another.

    `key` and `previous` are 32 bytes each. What is wrapped is wrapped under `key`; what was wrapped under `previous`
    can still be read. `id` names `key` without telling anything about it.
    """

    def __init__(self, key: bytes, entropy: Entropy, previous: bytes = b"") -> None:
        self._cipher = AESGCM(key)
        self._ciphers = [self._cipher, *([AESGCM(previous)] if previous else [])]
        self._entropy = entropy
        self.id = hmac.digest(key, b"dragoman wrapping key id", hashlib.sha256).hex()[:8]

    def wrap(self, key: SigningKey) -> bytes:
        """The private key as it is stored."""
        return self._wrap(key.kid, key.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))

    def unwrap(self, kid: str, wrapped: bytes) -> SigningKey:
        """The key again; slow for RSA. Raises `internal` when it was wrapped under another key or for another `kid`."""
        private_key = load_der_private_key(self._unwrap(kid, wrapped), password=None)
        assert isinstance(private_key, PrivateKey)
        return _key(private_key)

    def rewrap(self, kid: str, wrapped: bytes) -> bytes:
        """The same private key under the current wrapping key. Raises as `unwrap`."""
        return self._wrap(kid, self._unwrap(kid, wrapped))

    def _wrap(self, kid: str, der: bytes) -> bytes:
        nonce = self._entropy.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, der, kid.encode())

    def _unwrap(self, kid: str, wrapped: bytes) -> bytes:
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], kid.encode())
            except (InvalidTag, ValueError):
                continue
        message = (
            f"signing key {kid} cannot be decrypted: is DRAGOMAN_TOKEN_WRAPPING_KEY another one than before, "
            "and the one before not in DRAGOMAN_TOKEN_WRAPPING_KEY_PREVIOUS"
        )
        raise Error(ErrorCode.INTERNAL, message)
