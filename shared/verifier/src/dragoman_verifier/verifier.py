"""Verifies access tokens (RFC 9068 §4), locally."""

import json
import re
import time
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack
from typing import Any, Literal, Self

import aiohttp
from jwt import PyJWS, PyJWTError

from dragoman_verifier.cache import VerifiedTokens, fingerprint
from dragoman_verifier.claims import ANY_AUDIENCE, AnyAudience, Claims, check_time, read_claims
from dragoman_verifier.discovery import Discovery
from dragoman_verifier.errors import TokenExpired, TokenInvalid
from dragoman_verifier.feed import Feed
from dragoman_verifier.health import Health
from dragoman_verifier.keys import Keys
from dragoman_verifier.revocations import Revocations, RevocationSource
from dragoman_verifier.web import check_url, fetch

ALGORITHMS = ("ES256", "RS256", "EdDSA")
"""Those that may be pinned: all asymmetric, so that no public key can be used as a secret."""

KeySource = Callable[[], Awaitable[tuple[dict[str, Any], Mapping[str, str]]]]

_LONGEST_TOKEN = 16 << 10
_TYPES = ("at+jwt", "application/at+jwt")
_JWS = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
"""The compact form (RFC 7515 §7.1). Decoders of base64 pass over padding and more, so that a token had many forms."""

_jws = PyJWS(ALGORITHMS)


class Verifier:
    """Accepts the access tokens of one issuer for one or several audiences; used as `async with Verifier(...) as v`.

    - `issuer`: the exact `iss`; its keys are found by its metadata, or at `jwks_url`.
    - `audience`: one name or several, of which a token must carry at least one. `claims.ANY_AUDIENCE` asks for none;
      it is for those who tell others about tokens, since whoever accepts one has to be meant by it.
    - `algorithms`: those of ALGORITHMS that may be used.
    - `leeway`: how far clocks may differ, in seconds.
    - `keys`: gives the JWK Set and response headers, for those who have it by another way than HTTP.
    - `revocations`: how to follow the issuer's feed, or who knows of revocations by another way; without it a revoked
      token is accepted until it expires.
    - `cache_size`: how many verified tokens are remembered.
    - `min_refresh_interval`: seconds in which the keys are fetched once at most.
    - `max_stale_keys`: seconds for which the last keys serve while the issuer is away.
    - `http`: a session to use instead of an own one; it is not closed.
    - `allow_insecure`: permit http to other machines.
    - `clock`, `monotonic`: epoch seconds, and seconds that never jump.

    Raises ValueError when these make no sense together.
    """

    def __init__(
        self,
        issuer: str,
        audience: str | Collection[str] | Literal[AnyAudience.ANY],
        *,
        algorithms: Collection[str] = ALGORITHMS,
        leeway: float = 60.0,
        jwks_url: str | None = None,
        keys: KeySource | None = None,
        revocations: Revocations | RevocationSource | None = None,
        cache_size: int = 10_000,
        min_refresh_interval: float = 10.0,
        max_stale_keys: float = 86_400.0,
        http: aiohttp.ClientSession | None = None,
        allow_insecure: bool = False,
        clock: Callable[[], float] = time.time,  # noqa: TID251 - the default of a clock that is passed in
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer = issuer
        self._audience = (
            audience if audience is ANY_AUDIENCE else frozenset((audience,) if isinstance(audience, str) else audience)
        )
        self._algorithms = frozenset(algorithms)
        if self._audience is not ANY_AUDIENCE and not (self._audience and all(self._audience)):
            raise ValueError("an audience is needed")
        if not self._algorithms or not self._algorithms <= frozenset(ALGORITHMS):
            raise ValueError(f"algorithms are some of {', '.join(ALGORITHMS)}")
        if min(leeway, cache_size, min_refresh_interval, max_stale_keys) < 0:
            raise ValueError("no duration or size may be negative")
        feed_urls = (revocations.url, revocations.token_url) if isinstance(revocations, Revocations) else ()
        for url in (issuer, jwks_url, *feed_urls):
            if url is not None:
                check_url(url, allow_insecure=allow_insecure)
        self._leeway = leeway
        self._jwks_url = jwks_url
        self._key_source = keys
        self._revocations = revocations
        self._min_refresh_interval = min_refresh_interval
        self._max_stale_keys = max_stale_keys
        self._http = http
        self._allow_insecure = allow_insecure
        self._clock = clock
        self._monotonic = monotonic
        self._cache = VerifiedTokens(cache_size)
        self._stack = AsyncExitStack()
        self._keys: Keys | None = None
        self._feed: RevocationSource | None = None

    async def __aenter__(self) -> Self:
        if self._keys is not None:
            raise RuntimeError("the verifier is running already")
        http = self._http
        if http is None:
            own = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
            http = await self._stack.enter_async_context(own)
        discovery = Discovery(http, self._issuer, allow_insecure=self._allow_insecure, monotonic=self._monotonic)

        async def fetch_keys() -> tuple[dict[str, Any], Mapping[str, str]]:
            return await fetch(http, "GET", self._jwks_url or await discovery.endpoint("jwks_uri"))

        self._keys = Keys(
            self._key_source or fetch_keys,
            self._algorithms,
            min_interval=self._min_refresh_interval,
            max_stale=self._max_stale_keys,
            monotonic=self._monotonic,
        )
        self._stack.push_async_callback(self._keys.close)
        if isinstance(self._revocations, Revocations):
            feed = Feed(
                http,
                discovery,
                self._revocations,
                self._revocations.url or f"{self._issuer.rstrip('/')}/.well-known/revocations",
                leeway=self._leeway,
                clock=self._clock,
                monotonic=self._monotonic,
            )
            self._stack.push_async_callback(feed.close)
            self._feed = feed
        else:
            self._feed = self._revocations
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()
        self._keys = self._feed = None

    async def verify(self, token: str) -> Claims:
        """The claims of a token that is genuine, meant for this audience, in its time and not revoked.

        Raises TokenInvalid, TokenExpired or TokenRevoked; KeysUnavailable or RevocationsStale when that cannot be told
        now; RuntimeError outside `async with`.
        """
        if self._keys is None:
            raise RuntimeError("the verifier is not running: use it as `async with`")
        if len(token) > _LONGEST_TOKEN or not token.isascii():
            raise TokenInvalid("the token is too long or not ASCII")
        key = fingerprint(token)
        claims = self._cache.get(key)
        if claims is None:
            claims = await self._read(token, self._keys)
            self._cache.put(key, claims)
        else:
            await self._check_again(key, claims, self._keys)
        if self._feed is not None:
            await self._feed.check(claims)
        return claims

    def health(self) -> Health:
        """How it does at this moment; can be asked at any time."""
        keys, feed = self._keys, self._feed
        return Health(
            keys=keys.count if keys is not None else 0,
            keys_age=keys.age if keys is not None else None,
            key_fetches=keys.fetches if keys is not None else 0,
            keys_problem=keys.problem if keys is not None else None,
            revocations=feed.state if feed is not None else "off" if self._revocations is None else "stale",
            revocations_age=feed.age if feed is not None else None,
            revoked=len(feed.revoked) if feed is not None else 0,
            revocations_problem=feed.problem if feed is not None else None,
            cached=len(self._cache),
            cache_hits=self._cache.hits,
            cache_misses=self._cache.misses,
        )

    async def _check_again(self, fingerprint: bytes, claims: Claims, keys: Keys) -> None:
        try:
            check_time(claims, self._clock(), self._leeway)
            await keys.find(claims.key_id)  # a key that was withdrawn takes along what it signed
        except (TokenExpired, TokenInvalid):
            self._cache.drop(fingerprint)
            raise

    async def _read(self, token: str, keys: Keys) -> Claims:
        header = _header(token)
        algorithm, kid = header.get("alg"), header.get("kid")
        if str(header.get("typ")).lower() not in _TYPES:
            raise TokenInvalid("not an access token: typ is not at+jwt")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise TokenInvalid("signed with an algorithm that is not allowed")
        if not isinstance(kid, str) or not kid:
            raise TokenInvalid("the token does not name its key")
        if "crit" in header or "b64" in header:
            raise TokenInvalid("the token asks for extensions that are not known")
        key = await keys.find(kid)
        try:
            # PyJWT refuses an algorithm that is not the key's.
            payload = _jws.decode_complete(token, key, [key.algorithm_name])["payload"]
        except (PyJWTError, ValueError):
            raise TokenInvalid("the signature does not verify") from None
        claims = read_claims(payload, kid, self._issuer, self._audience)
        check_time(claims, self._clock(), self._leeway)
        return claims


def _header(token: str) -> dict[str, Any]:
    if not _JWS.fullmatch(token):
        raise TokenInvalid("not a JWT")
    encoded = token.partition(".")[0]
    try:
        header = json.loads(urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise TokenInvalid("not a JWT")
    return header
