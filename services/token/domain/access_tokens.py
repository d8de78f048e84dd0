"""Access tokens: JWTs by RFC 9068."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import jwt

from services.token.domain.signing_keys import SigningKey

_TYPE = "at+jwt"


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
