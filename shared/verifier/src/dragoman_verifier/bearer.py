"""Bearer tokens in HTTP (RFC 6750): where a request carries one, and what to answer when it is not good."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from dragoman_verifier.errors import (
    InsufficientScope,
    TokenExpired,
    TokenInvalid,
    TokenRevoked,
    Unavailable,
    VerifierError,
)


@dataclass(frozen=True)
class Refusal:
    """An answer: status, headers and a JSON body."""

    status: int
    headers: dict[str, str]
    body: bytes


def bearer_token(authorization: Sequence[str]) -> str | None:
    """The token in a request's Authorization headers, None when there is none.

    Raises TokenInvalid when there are several headers, since servers differ in which one counts.
    """
    if len(authorization) > 1:
        raise TokenInvalid("several Authorization headers")
    scheme, _, token = (authorization[0] if authorization else "").strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def refusal(error: VerifierError | None) -> Refusal:
    """What to answer: 401, 403 or 503 by the kind of error, and 401 without a code where no token came (None)."""
    if isinstance(error, Unavailable):
        return _refusal(503, "temporarily_unavailable", {"Retry-After": str(error.retry_after)})
    if isinstance(error, InsufficientScope):
        scopes = " ".join(sorted(error.required))
        challenge = f'Bearer error="insufficient_scope", scope="{scopes}"'
        return _refusal(403, "insufficient_scope", {"WWW-Authenticate": challenge})
    if error is None:
        return _refusal(401, "missing_token", {"WWW-Authenticate": "Bearer"})
    told = _TOLD.get(type(error), "the token is not valid")
    challenge = f'Bearer error="invalid_token", error_description="{told}"'
    return _refusal(401, "invalid_token", {"WWW-Authenticate": challenge})


_TOLD: dict[type[VerifierError], str] = {
    TokenExpired: "the token has expired",
    TokenRevoked: "the token was revoked",
}


def _refusal(status: int, code: str, headers: dict[str, str]) -> Refusal:
    body = json.dumps({"error": code}).encode()
    return Refusal(status, {**headers, "Content-Type": "application/json", "Cache-Control": "no-store"}, body)
