"""OAuth clients: what they may ask for, and how their secrets are kept."""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from services.token.domain.dialects import BUILT_IN_CLIENTS
from shared.contracts.token import Grant
from shared.entropy import Entropy
from shared.errors import Error, ErrorCode

SecretKind = Literal["sha256", "argon2id"]

_CLIENT_ID = re.compile(r"[A-Za-z0-9._~-]{1,100}")
_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
_LONGEST = 200
_SECRET_PREFIX = "dragoman_cs_"
"""Tells secret scanners, and people, what they found."""

_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
"""OWASP's minimum for argon2id."""


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """One secret of a client as it is kept: SHA-256 of a generated one, argon2id of one brought along.

    A secret of 256 random bits cannot be guessed from a fast hash; one that a person chose might be.
    """

    id: UUID
    kind: SecretKind
    digest: str
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """A client and its secrets, the newest first."""

    client_id: str
    name: str
    grants: tuple[Grant, ...]
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    created_at: datetime
    secrets: tuple[ClientSecret, ...]

    def without_expired(self, now: datetime) -> "OAuthClient":
        """The client with those of its secrets that are live `now`."""
        live = tuple(secret for secret in self.secrets if secret.expires_at is None or secret.expires_at > now)
        return self if len(live) == len(self.secrets) else replace(self, secrets=live)


def check_registration(client_id: str, name: str, scopes: list[str], audiences: list[str]) -> None:
    """Refuse what could not be used later. Raises `invalid_request` with `detail.field`.

    A client id in the form of a UUID is refused because it could collide with a user's `sub` (RFC 9068 §5), and the
    name of a dialect because it is that of the dialect's built-in client.
    """
    if client_id in BUILT_IN_CLIENTS:
        raise Error(ErrorCode.INVALID_REQUEST, "the client id is built in", detail={"field": "client_id"})
    if not may_be_client_id(client_id) or _is_uuid(client_id):
        raise Error(
            ErrorCode.INVALID_REQUEST,
            "a client id is 1 to 100 of A-Z, a-z, 0-9, dot, dash, underscore, tilde, and not a UUID",
            detail={"field": "client_id"},
        )
    if len(name) > _LONGEST or "\0" in name:
        raise Error(ErrorCode.INVALID_REQUEST, "not a name for a client", detail={"field": "name"})
    for scope in scopes:
        if not _SCOPE_TOKEN.fullmatch(scope):
            raise Error(ErrorCode.INVALID_REQUEST, "not a scope (RFC 6749 §3.3)", detail={"field": "scopes"})
    for audience in audiences:
        if not audience or len(audience) > _LONGEST or "\0" in audience:
            raise Error(ErrorCode.INVALID_REQUEST, "not an audience", detail={"field": "audiences"})


def may_be_client_id(text: str) -> bool:
    """Whether a client can have this id; PostgreSQL does not even take every other text."""
    return _CLIENT_ID.fullmatch(text) is not None


def narrow_scope(requested: str | None, allowed: tuple[str, ...]) -> str | None:
    """The scope to grant: what was asked for when all of it is allowed, none when nothing was asked for.

    Raises `invalid_scope` (RFC 6749 §3.3 and §5.2).
    """
    if requested is None or not requested.strip():
        return None
    wanted = list(dict.fromkeys(requested.split()))
    if not set(wanted) <= set(allowed):
        raise Error(ErrorCode.INVALID_SCOPE, "a scope was asked for that the client may not have")
    return " ".join(wanted)


def generate_secret(entropy: Entropy) -> str:
    """A secret of 256 bits."""
    return _SECRET_PREFIX + base64.urlsafe_b64encode(entropy.token_bytes(32)).rstrip(b"=").decode()


def digest_generated(secret: str) -> str:
    """How a generated secret is kept: SHA-256 in hex."""
    return hashlib.sha256(secret.encode()).hexdigest()


def digest_brought(secret: str) -> str:
    """How a secret that was brought along is kept: argon2id. Slow; belongs into a hash pool."""
    return _hasher.hash(secret)


def matches_generated(secret: str, digest: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(digest_generated(secret), digest)


def matches_brought(secret: str, digest: str) -> bool:
    """Compare with an argon2id hash. Slow; belongs into a hash pool."""
    try:
        return _hasher.verify(digest, secret)
    except (Argon2Error, InvalidHashError):
        return False


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
