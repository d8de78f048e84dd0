"""The issuer's public keys (RFC 7517): fetched once for all who wait, seldom, and kept while the issuer is away."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK

from dragoman_verifier.errors import KeysUnavailable, TokenInvalid
from dragoman_verifier.web import Unusable, describe

_FRESH_SECONDS = 300.0
_MOST_FRESH_SECONDS = 86_400.0
_ABSENT_SECONDS = 60.0
_MOST_ABSENT = 1_000
_MOST_KEYS = 100
_LONGEST_KID = 256
_LEAST_RSA_BITS = 2048
_MAX_AGE = re.compile(r"\bmax-age\s*=\s*\"?(\d{1,9})\b")

log = logging.getLogger("dragoman_verifier")


class Keys:
    """Finds keys by `kid`; `fetch` gets the JWK set and the answer's headers.

    There is one fetch at a time and at most one in `min_interval` seconds, whoever asks for whatever `kid`. Keys are
    fetched anew when the answer's max-age is over (300 s without one); while that fails those at hand serve on, for
    `max_stale` seconds.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[tuple[dict[str, Any], Mapping[str, str]]]],
        algorithms: Collection[str],
        *,
        min_interval: float,
        max_stale: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._fetch = fetch
        self._algorithms = frozenset(algorithms)
        self._min_interval = min_interval
        self._max_stale = max_stale
        self._monotonic = monotonic
        self._keys: dict[str, PyJWK] = {}
        self._absent: dict[str, float] = {}
        self._fetched_at: float | None = None
        self._fresh_until = self._next_try = float("-inf")
        self._fetching: asyncio.Task[None] | None = None
        self.fetches = 0
        self.problem: str | None = None

    @property
    def count(self) -> int:
        """How many keys are at hand."""
        return len(self._keys)

    @property
    def age(self) -> float | None:
        """Seconds since the keys were last fetched, None before the first time."""
        return None if self._fetched_at is None else self._monotonic() - self._fetched_at

    async def find(self, kid: str) -> PyJWK:
        """The key called `kid`.

        Raises TokenInvalid when the issuer has no such key, KeysUnavailable when it cannot be asked.
        """
        now = self._monotonic()
        if now < self._fresh_until and (key := self._keys.get(kid)):
            return key
        if len(kid) > _LONGEST_KID:
            raise TokenInvalid("the key's name is too long")
        await self._refresh(kid, now)
        if self._fetched_at is None or self._monotonic() - self._fetched_at > self._max_stale:
            raise KeysUnavailable(f"the issuer's keys are not available: {self.problem}", self._retry_after())
        if key := self._keys.get(kid):
            return key
        if self.problem is not None:
            raise KeysUnavailable(
                f"an unknown key, and the issuer is not available: {self.problem}", self._retry_after()
            )
        self._remember_absent(kid, now)
        raise TokenInvalid("signed with a key that the issuer does not publish")

    async def _refresh(self, kid: str, now: float) -> None:
        wanted = now >= self._fresh_until or (kid not in self._keys and self._absent.get(kid, 0.0) <= now)
        if wanted and self._fetching is None and now >= self._next_try:
            self._next_try = now + self._min_interval
            self._fetching = asyncio.create_task(self._fetch_all())
            self._fetching.add_done_callback(lambda _: self._fetched())
        # Once a fetch has failed, known keys serve on while the next is tried: an issuer that hangs slows nobody down.
        if self._fetching is not None and (kid not in self._keys or self.problem is None):
            # Shielded, since others wait for it too when this caller is cancelled.
            await asyncio.shield(self._fetching)

    async def _fetch_all(self) -> None:
        self.fetches += 1
        try:
            document, headers = await self._fetch()
            keys = usable_keys(document, self._algorithms)
        except Exception as problem:  # noqa: BLE001 - whatever it is, the keys at hand serve on
            if self.problem is None:
                log.warning("cannot fetch the issuer's keys: %s", describe(problem))
            self.problem = describe(problem)
            return
        now = self._monotonic()
        self._keys, self._fetched_at, self.problem = keys, now, None
        self._fresh_until = now + max(fresh_seconds(headers), self._min_interval)

    def _fetched(self) -> None:
        self._fetching = None

    def _remember_absent(self, kid: str, now: float) -> None:
        if self._fetched_at is None or self._fetched_at < now:
            return  # the keys at hand are older than the question, so they prove nothing
        while len(self._absent) >= _MOST_ABSENT:
            del self._absent[next(iter(self._absent))]
        self._absent[kid] = now + _ABSENT_SECONDS

    def _retry_after(self) -> int:
        return max(1, round(self._next_try - self._monotonic()))

    async def close(self) -> None:
        """Give up a fetch in flight."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)


def usable_keys(document: Mapping[str, Any], algorithms: Collection[str]) -> dict[str, PyJWK]:
    """The keys of a JWK set that can verify signatures of one of the `algorithms`, by `kid`; others are passed over.

    Raises Unusable when there is none: an answer without keys is a mistake, not a rotation.
    """
    found: dict[str, PyJWK] = {}
    entries = document.get("keys")
    for entry in entries[:_MOST_KEYS] if isinstance(entries, list) else []:
        if isinstance(entry, dict) and (key := _usable(entry, algorithms)) is not None:
            found.setdefault(entry["kid"], key)
    if not found:
        raise Unusable("the issuer publishes no key of use here")
    return found


def _usable(entry: dict[str, Any], algorithms: Collection[str]) -> PyJWK | None:
    if not isinstance(entry.get("kid"), str) or entry.get("use", "sig") != "sig":
        return None
    if "d" in entry or "k" in entry:
        return None  # not a public key
    try:
        if "verify" not in entry.get("key_ops", ("verify",)):
            return None
        key = PyJWK(entry)
    except Exception:  # noqa: BLE001 - however odd one key is, the others are good
        return None
    too_weak = isinstance(key.key, RSAPublicKey) and key.key.key_size < _LEAST_RSA_BITS
    return key if key.algorithm_name in algorithms and not too_weak else None


def fresh_seconds(headers: Mapping[str, str]) -> float:
    """How long an answer with these headers may be used without asking again, in seconds, a day at most (RFC 9111)."""
    control = headers.get("Cache-Control", "").lower()
    if "no-store" in control or "no-cache" in control:
        return 0.0
    found = _MAX_AGE.search(control)
    return min(float(found[1]), _MOST_FRESH_SECONDS) if found else _FRESH_SECONDS
