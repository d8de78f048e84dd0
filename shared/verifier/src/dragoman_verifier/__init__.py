"""Verifies Dragoman's access tokens inside your service, and refuses revoked ones at once."""

from dragoman_verifier.claims import Claims
from dragoman_verifier.errors import (
    InsufficientScope,
    KeysUnavailable,
    RevocationsStale,
    TokenExpired,
    TokenInvalid,
    TokenRefused,
    TokenRevoked,
    Unavailable,
    VerifierError,
)
from dragoman_verifier.health import Health, prometheus
from dragoman_verifier.revocations import Revocations, RevocationSource
from dragoman_verifier.scopes import check_scopes
from dragoman_verifier.verifier import ALGORITHMS, Verifier

__all__ = [
    "ALGORITHMS",
    "Claims",
    "Health",
    "InsufficientScope",
    "KeysUnavailable",
    "RevocationSource",
    "Revocations",
    "RevocationsStale",
    "TokenExpired",
    "TokenInvalid",
    "TokenRefused",
    "TokenRevoked",
    "Unavailable",
    "Verifier",
    "VerifierError",
    "check_scopes",
    "prometheus",
]
