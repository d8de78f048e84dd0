"""Keys and tokens of the fake issuer."""

import json
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

AUDIENCE = "https://api.example.com"


@dataclass
class Clock:
    """Time that a test moves: epoch seconds when called, and `monotonic`."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        """The time now."""
        return self.now

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@dataclass
class Key:
    """A signing key."""

    kid: str
    algorithm: str = "ES256"
    private: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.private = {
            "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "RS256": lambda: rsa.generate_private_key(65537, 2048),
            "EdDSA": ed25519.Ed25519PrivateKey.generate,
        }[self.algorithm]()

    @property
    def jwk(self) -> dict[str, Any]:
        """The public half, as it is published."""
        kinds: dict[str, Any] = {"ES256": ECAlgorithm, "RS256": RSAAlgorithm, "EdDSA": OKPAlgorithm}
        parts = json.loads(kinds[self.algorithm].to_jwk(self.private.public_key()))
        return {**parts, "kid": self.kid, "alg": self.algorithm, "use": "sig"}


def payload(issuer: str, now: float, **changed: Any) -> dict[str, Any]:
    """The claims of a good token; None takes one away."""
    claims = {
        "iss": issuer,
        "sub": "user-1",
        "aud": AUDIENCE,
        "client_id": "client-1",
        "iat": int(now),
        "exp": int(now) + 600,
        "jti": "token-1",
        "sid": "session-1",
        "scope": "orders:read orders:write",
    } | changed
    return {name: value for name, value in claims.items() if value is not None}


def sign(claims: dict[str, Any], key: Key, **header: Any) -> str:
    """A token with these claims; `header` changes its header."""
    header = {"typ": "at+jwt", "kid": key.kid} | header
    return jwt.encode(claims, key.private, algorithm=key.algorithm, headers=header)
