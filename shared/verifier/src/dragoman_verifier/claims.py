"""What a verified access token says (RFC 9068 §2.2)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, Literal

from dragoman_verifier.errors import TokenExpired, TokenInvalid


class AnyAudience(Enum):
    """A set with one member, so that nothing else can be taken for it."""

    ANY = "any"


ANY_AUDIENCE: Final = AnyAudience.ANY
"""For those who tell others about tokens, and accept none themselves."""

_LATEST = 253_402_300_799  # the last second of the year 9999, where datetime ends


@dataclass(frozen=True, slots=True)
class Claims:
    """Who may do what, as the issuer signed it; safe to share between requests, since all of it is read-only.

    `raw` is the whole payload, its arrays as tuples; `key_id` names the key that signed it.
    """

    issuer: str
    subject: str
    audience: tuple[str, ...]
    client_id: str
    scopes: frozenset[str]
    token_id: str
    session_id: str | None
    issued_at: datetime
    expires_at: datetime
    key_id: str
    raw: Mapping[str, Any] = field(repr=False, compare=False)


def read_claims(
    payload: bytes, key_id: str, issuer: str, audience: frozenset[str] | Literal[AnyAudience.ANY]
) -> Claims:
    """The claims in a payload whose signature was verified; its times are not yet compared with the clock.

    Raises TokenInvalid when one that RFC 9068 requires is missing or malformed, or names another issuer or audience.
    """
    try:
        raw = json.loads(payload)
    except (ValueError, RecursionError):
        raise TokenInvalid("the payload is not JSON") from None
    if not isinstance(raw, dict):
        raise TokenInvalid("the payload is not an object")
    if raw.get("iss") != issuer:
        raise TokenInvalid("the token is of another issuer")
    meant_for = _audience(raw)
    if audience is not ANY_AUDIENCE and audience.isdisjoint(meant_for):
        raise TokenInvalid("the token is meant for another audience")
    if "nbf" in raw:
        _moment(raw, "nbf")
    return Claims(
        issuer=issuer,
        subject=_text(raw, "sub"),
        audience=meant_for,
        client_id=_text(raw, "client_id"),
        scopes=frozenset(_text(raw, "scope").split()) if raw.get("scope") else frozenset(),
        token_id=_text(raw, "jti"),
        session_id=_text(raw, "sid") if "sid" in raw else None,
        issued_at=_moment(raw, "iat"),
        expires_at=_moment(raw, "exp"),
        key_id=key_id,
        raw=MappingProxyType({name: _frozen(value) for name, value in raw.items()}),
    )


def check_time(claims: Claims, now: float, leeway: float) -> None:
    """Refuse a token outside its time; `now` in epoch seconds, `leeway` in seconds for clocks that differ.

    Raises TokenExpired after `exp`; TokenInvalid when `iat` or `nbf` is still to come.
    """
    if claims.raw["iat"] > now + leeway:
        raise TokenInvalid("the token was issued in the future")
    if claims.raw["exp"] + leeway <= now:
        raise TokenExpired("the token has expired")
    if claims.raw.get("nbf", 0) > now + leeway:
        raise TokenInvalid("the token is not valid yet")


def _audience(raw: Mapping[str, Any]) -> tuple[str, ...]:
    found = raw.get("aud")
    if isinstance(found, str):
        return (found,)
    if isinstance(found, list) and all(isinstance(one, str) for one in found):
        return tuple(found)
    raise TokenInvalid("the claim aud is missing or malformed")


def _text(raw: Mapping[str, Any], name: str) -> str:
    found = raw.get(name)
    if isinstance(found, str) and found:
        return found
    raise TokenInvalid(f"the claim {name} is missing or malformed")


def _moment(raw: Mapping[str, Any], name: str) -> datetime:
    found = raw.get(name)
    # NaN fails the comparison too, and would otherwise never expire.
    if isinstance(found, int | float) and not isinstance(found, bool) and 0 <= found <= _LATEST:
        return datetime.fromtimestamp(found, UTC)
    raise TokenInvalid(f"the claim {name} is missing or malformed")


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return MappingProxyType({name: _frozen(inner) for name, inner in value.items()})
    if isinstance(value, list):
        return tuple(_frozen(inner) for inner in value)
    return value
