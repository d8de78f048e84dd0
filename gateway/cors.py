"""Which web pages may call a dialect from a browser (the CORS protocol of the Fetch standard).

A dialect without a policy answers no page of another origin: its preflights stay 405, and browsers stop there.
A policy that takes every origin never takes cookies, since any page could then act as whoever is signed in.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

_REQUEST_HEADERS = "Authorization, Content-Type, X-Request-Id"
_RESPONSE_HEADERS = "RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate, X-Request-Id"
_MAX_AGE_SECONDS = "600"
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")


@dataclass(frozen=True)
class CorsPolicy:
    """The origins (`https://app.example.com`, as browsers write them) whose pages may call, None for all of them.

    `credentials` lets them send cookies. Raises ValueError for cookies from every origin.
    """

    origins: frozenset[str] | None
    methods: tuple[str, ...]
    credentials: bool = False

    def __post_init__(self) -> None:
        if self.credentials and (self.origins is None or "*" in self.origins):
            raise ValueError("credentials are for listed origins only")

    @classmethod
    def listed(cls, origins: str, methods: tuple[str, ...]) -> Self | None:
        """A policy with cookies for a setting's comma-separated origins, None where it names none.

        Raises ValueError for what no browser calls an origin: with a path, a user, or a `*`.
        """
        named = [origin.strip().lower().removesuffix("/") for origin in origins.split(",") if origin.strip()]
        for origin in named:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"not an origin: {origin}")
        return cls(frozenset(named), methods, credentials=True) if named else None

    def headers(self, origin: str | None) -> Mapping[str, str]:
        """What an answer to a page of `origin` carries, errors too; a page that may not call gets no permission."""
        if self.origins is None:
            return {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": _RESPONSE_HEADERS}
        if origin not in self.origins:
            return {"Vary": "Origin"}
        allowed = {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": _RESPONSE_HEADERS,
            "Vary": "Origin",
        }
        return allowed | ({"Access-Control-Allow-Credentials": "true"} if self.credentials else {})

    def preflight_headers(self, origin: str | None) -> Mapping[str, str]:
        """What the answer to a preflight carries beside `headers`."""
        if self.origins is not None and origin not in self.origins:
            return {}
        return {
            "Access-Control-Allow-Methods": ", ".join(self.methods),
            "Access-Control-Allow-Headers": _REQUEST_HEADERS,
            "Access-Control-Max-Age": _MAX_AGE_SECONDS,
        }
