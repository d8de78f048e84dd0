"""Access tokens that come back to the platform's own endpoints."""

from typing import Any

import jwt
from aiohttp import web

from gateway.keys import PublicKeys
from shared.clock import Clock
from shared.errors import Error, ErrorCode

_ALGORITHMS = ("ES256",)
_CLAIMS = ("iss", "exp", "aud", "sub", "client_id", "iat", "jti")
_LEEWAY_SECONDS = 60
"""Clocks of two machines may differ by that much."""


class BearerTokens:
    """Verifies access tokens (RFC 9068 §4): type, signature, issuer, audience, time."""

    def __init__(self, keys: PublicKeys, clock: Clock, issuer: str, audience: str) -> None:
        self._keys = keys
        self._clock = clock
        self._issuer = issuer
        self._audience = audience

    async def verify(self, request: web.Request) -> dict[str, Any] | None:
        """The claims of the request's bearer token, None when it carries none.

        Raises `invalid_token`, with `detail.expired` when that is all that is wrong; `unavailable` without keys.
        """
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        try:
            header = jwt.get_unverified_header(token.strip())
            if str(header.get("typ", "")).lower().removeprefix("application/") != "at+jwt":
                raise _invalid()
            key = await self._keys.find(str(header.get("kid", "")))
            if key is None or header.get("alg") != key["alg"]:
                raise _invalid()
            claims: dict[str, Any] = jwt.decode(
                token.strip(),
                jwt.PyJWK(key),
                algorithms=list(_ALGORITHMS),
                issuer=self._issuer,
                audience=self._audience,
                options={"require": list(_CLAIMS), "verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
        except (jwt.PyJWTError, ValueError):
            raise _invalid() from None
        self._check_time(claims)
        return claims

    def _check_time(self, claims: dict[str, Any]) -> None:
        # Not left to PyJWT, which reads the machine's clock.
        now = self._clock.now().timestamp()
        if not all(isinstance(claims.get(name, 0), int) for name in ("iat", "nbf", "exp")):
            raise _invalid()
        if max(claims["iat"], claims.get("nbf", 0)) > now + _LEEWAY_SECONDS:
            raise _invalid()
        if claims["exp"] <= now - _LEEWAY_SECONDS:
            raise _invalid(expired=True)


def _invalid(*, expired: bool = False) -> Error:
    return Error(ErrorCode.INVALID_TOKEN, "the access token does not verify", detail={"expired": expired})
