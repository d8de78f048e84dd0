"""ID tokens (OpenID Connect Core §2): who signed in, told to the client itself. No API may take one for access."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import jwt

from services.token.domain.dialects import display_name
from services.token.domain.signing_keys import SigningKey
from shared.contracts.identity import User

_TYPE = "JWT"
"""Not `at+jwt`: by this those who verify access tokens tell them apart (RFC 8725 §3.11)."""


def sign_id_token(
    key: SigningKey,
    *,
    issuer: str,
    client_id: str,
    user: User,
    session_id: UUID,
    signed_in_at: datetime,
    token_id: UUID,
    issued_at: datetime,
    seconds: int,
) -> str:
    """A signed ID token that lives `seconds`, with the claims of Cognito's.

    `email_verified` is false: an address is what the operator or the user has typed, and nobody has looked whether
    mail to it arrives. There are no groups on this platform.
    """
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": str(user.id),
        "aud": client_id,
        "iat": int(issued_at.timestamp()),
        "exp": int((issued_at + timedelta(seconds=seconds)).timestamp()),
        "auth_time": int(signed_in_at.timestamp()),
        "token_use": "id",
        "cognito:username": display_name(user),
        "cognito:groups": [],
        "jti": str(token_id),
        "origin_jti": str(session_id),
        "sid": str(session_id),
    }
    if user.email is not None:
        claims |= {"email": user.email, "email_verified": False}
    return jwt.encode(claims, key.private_key, algorithm=key.algorithm, headers={"typ": _TYPE, "kid": key.kid})
