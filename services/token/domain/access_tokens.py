"""Access tokens: JWTs by RFC 9068."""

import re
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import jwt

from services.token.domain.signing_keys import SigningKey

_TYPE = "at+jwt"
_JWS = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
"""The compact form (RFC 7515 §7.1). Decoders of base64 pass over padding and more, so that a token had many forms."""


def sign_access_token(
    key: SigningKey,
    *,
    issuer: str,
    subject: str,
    audiences: tuple[str, ...],
    client_id: str,
    scope: str | None,
    token_id: UUID,
    issued_at: datetime,
    seconds: int,
    session: dict[str, Any] | None = None,
) -> str:
    """A signed access token (RFC 9068 §2) that lives `seconds`.

    `session` adds what only a user's token has: `sid`, `auth_time` and `amr`.
    """
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": subject,
        "aud": audiences[0] if len(audiences) == 1 else list(audiences),
        "client_id": client_id,
        "iat": int(issued_at.timestamp()),
        "exp": int((issued_at + timedelta(seconds=seconds)).timestamp()),
        "jti": str(token_id),
    }
    if scope is not None:
        claims["scope"] = scope
    claims |= session or {}
    return jwt.encode(claims, key.private_key, algorithm=key.algorithm, headers={"typ": _TYPE, "kid": key.kid})


def read_access_token(
    text: str, keys: list[dict[str, Any]], *, issuer: str, now: datetime
) -> tuple[dict[str, Any] | None, str]:
    """The claims of an access token of ours that is in its time, and the `kid` that signed it; None for any other.

    Its audience is not asked: whoever introspects or revokes a token need not be whom it is meant for.
    """
    if not _JWS.fullmatch(text):
        return None, ""
    try:
        header = jwt.get_unverified_header(text)
        kid = str(header.get("kid", ""))
        key = next((key for key in keys if key["kid"] == kid), None)
        if key is None or header.get("typ") != _TYPE or header.get("alg") != key["alg"]:
            return None, kid
        claims: dict[str, Any] = jwt.decode(
            text,
            jwt.PyJWK(key),
            algorithms=[key["alg"]],
            issuer=issuer,
            # The time is told by the clock that was given, not by the machine's.
            options={"verify_aud": False, "verify_exp": False, "verify_iat": False, "verify_nbf": False},
        )
    except (jwt.PyJWTError, ValueError, RecursionError):
        return None, ""
    return (claims if claims["exp"] > now.timestamp() else None), kid
