"""id_tokens, checked as OpenID Connect Core §3.1.3.7 says."""

import hmac
from datetime import datetime
from typing import Any

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from shared.errors import Error, ErrorCode

ALGORITHMS = [
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
]
"""None by which somebody who knows the client's secret, or nothing, could sign."""
_LEEWAY_SECONDS = 60
# Providers put words of their own into the header, which mean nothing to others (RFC 7515 §4.3); `crit` still counts.
_SIGNATURES = JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
# What a stranger's token can make the library stumble over.
_PROBLEMS = (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError)


class UnknownKeyError(Exception):
    """The token names a key that is not among these."""


def claims_of(
    token: object, keys: KeySet, *, issuer: str, client_id: str, nonce: str, access_token: str, now: datetime
) -> dict[str, Any]:
    """The claims of an id_token that this issuer made for this client, for this very sign-in.

    Raises `UnknownKeyError` where newer keys may help, `wrong_password` for whatever does not hold.
    """
    if not isinstance(token, str):
        raise _refused("no id_token")
    try:
        decoded = jwt.decode(token, keys, registry=_SIGNATURES)
        claims = CodeIDToken(
            decoded.claims,
            decoded.header,
            options={
                "iss": {"essential": True, "value": issuer},
                "sub": {"essential": True},
                "aud": {"essential": True, "value": client_id},
            },
            params={"client_id": client_id, "access_token": access_token},
        )
        claims.validate(now=int(now.timestamp()), leeway=_LEEWAY_SECONDS)
    except InvalidKeyIdError:
        raise UnknownKeyError from None
    except _PROBLEMS as error:
        # The library's words may repeat what the token says.
        raise _refused(f"{type(error).__name__} {getattr(error, 'claim', '')}".strip()) from None
    told = claims.get("nonce")
    if not isinstance(told, str) or not hmac.compare_digest(told.encode("utf-8", "replace"), nonce.encode()):
        raise _refused("another nonce")
    return dict(claims)


def _refused(why: str) -> Error:
    return Error(ErrorCode.WRONG_PASSWORD, f"the id_token does not hold: {why}")
