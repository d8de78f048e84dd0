"""What was revoked, and what the owner of a verifier decides about it."""

from collections.abc import Iterable, Mapping, Sized
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf
from typing import Any, Literal, Protocol

from dragoman_verifier.claims import Claims
from dragoman_verifier.health import FeedState
from dragoman_verifier.web import Unusable


@dataclass(frozen=True, kw_only=True)
class Revocations:
    """How to follow the issuer's revocation feed.

    `client_id` and `client_secret` are of a client that may have the scope `revocations:read`. When nothing was heard
    for more than `max_staleness` seconds, tokens are refused (RevocationsStale) or accepted unless known to be revoked,
    as `when_stale` says. The first verifications wait for the first snapshot until `startup_timeout` seconds have gone
    by since the start. `url` and `token_url` replace `{issuer}/.well-known/revocations` and the token endpoint that the
    issuer's metadata names.
    """

    client_id: str
    client_secret: str = field(repr=False)
    max_staleness: float = 60.0
    when_stale: Literal["refuse", "accept"] = "refuse"
    startup_timeout: float = 5.0
    url: str | None = None
    token_url: str | None = None

    def __post_init__(self) -> None:
        if self.when_stale not in {"refuse", "accept"}:
            raise ValueError("when_stale is either refuse or accept")
        if not self.max_staleness > 0 or not self.startup_timeout >= 0:
            raise ValueError("max_staleness must be positive, startup_timeout not negative")


class RevocationSource(Protocol):
    """Somebody who knows what was revoked by another way than the feed over HTTP."""

    @property
    def state(self) -> FeedState:
        """Whether it can be relied upon at this moment."""

    @property
    def age(self) -> float | None:
        """Seconds since it was last up to date, None before the first time."""

    @property
    def problem(self) -> str | None:
        """What is wrong, None while all is well."""

    @property
    def revoked(self) -> Sized:
        """What is revoked now."""

    async def check(self, claims: Claims) -> None:
        """Raises TokenRevoked, or RevocationsStale when that cannot be told and the owner chose to refuse then."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """One entry of the feed: what holds `value` and was issued before `issued_before` is void; in epoch seconds."""

    kind: str
    value: str
    issued_before: float
    expires_at: float


_ABSURD = 1e15  # seconds; NaN is not below it either
_KINDS = ("token", "session", "key", "user", "client")


def read_revocation(entry: object) -> Revocation | None:
    """An entry of the feed, None when its kind is unknown, as a later version's may be.

    Raises Unusable when it is malformed: passing over it would let through what was revoked.
    """
    if not isinstance(entry, Mapping) or not isinstance(kind := entry.get("kind"), str):
        raise Unusable("an entry of the revocation feed is malformed")
    if kind not in _KINDS:
        return None
    value, expires_at = entry.get("value"), _number(entry.get("expires_at"))
    issued_before = inf if entry.get("issued_before") is None else _number(entry["issued_before"])
    if not isinstance(value, str) or expires_at is None or issued_before is None:
        raise Unusable("an entry of the revocation feed is malformed")
    return Revocation(kind, value, issued_before, expires_at)


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _ABSURD
    return float(value) if is_number else None


class RevokedSet:
    """All that is revoked now; an entry is dropped `grace` seconds after no token that it concerns can be valid."""

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._entries: dict[str, dict[str, Revocation]] = {kind: {} for kind in _KINDS}
        self._expiries: list[tuple[float, str, str]] = []

    def __len__(self) -> int:
        return sum(map(len, self._entries.values()))

    def replace(self, entries: Iterable[Revocation], now: float) -> None:
        """Take over a whole snapshot; `now` in epoch seconds."""
        fresh = RevokedSet(self._grace)
        for entry in entries:
            fresh.add(entry, now)
        self._entries, self._expiries = fresh._entries, fresh._expiries

    def add(self, entry: Revocation, now: float) -> None:
        """Take in one entry; of two for the same thing each one's wider bound counts. Drops what has expired."""
        of_kind = self._entries[entry.kind]
        if (known := of_kind.get(entry.value)) is not None:
            entry = Revocation(
                entry.kind,
                entry.value,
                max(known.issued_before, entry.issued_before),
                max(known.expires_at, entry.expires_at),
            )
        of_kind[entry.value] = entry
        heappush(self._expiries, (entry.expires_at + self._grace, entry.kind, entry.value))
        self.prune(now)

    def prune(self, now: float) -> None:
        """Drop the entries that have expired."""
        while self._expiries and self._expiries[0][0] <= now:
            _, kind, value = heappop(self._expiries)
            entry = self._entries[kind].get(value)
            if entry is not None and entry.expires_at + self._grace <= now:
                del self._entries[kind][value]

    def has(self, claims: Claims) -> bool:
        """Whether this token was revoked: itself, its session, its key, or its user or client after it was issued."""
        entries = self._entries
        if claims.token_id in entries["token"] or claims.key_id in entries["key"]:
            return True
        if claims.session_id is not None and claims.session_id in entries["session"]:
            return True
        user, client = entries["user"].get(claims.subject), entries["client"].get(claims.client_id)
        issued_at = claims.raw["iat"]
        # Up to and with the moment for a client, since a new secret's first token comes later than that.
        return (user is not None and issued_at < user.issued_before) or (
            client is not None and issued_at <= client.issued_before
        )
