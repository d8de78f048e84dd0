"""When a key signs: next, active, retired.

The rules look at all keys at once, and give all keys as they are afterwards. One key is active. At least one more, the
standby, is published already and waits to be called; those that were called wait until they have been published long
enough, so that every verifier has met a key before the first token that it signs.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from operator import attrgetter

from shared.contracts.token import SigningAlgorithm, SigningKeyState
from shared.errors import Error, ErrorCode


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as it is kept, published from `created_at` on; `activates_at` is None for the standby."""

    kid: str
    algorithm: SigningAlgorithm
    state: SigningKeyState
    public_jwk: str
    wrapped_private_key: bytes
    wrapped_by: str
    created_at: datetime
    activates_at: datetime | None = None
    retired_at: datetime | None = None


Keys = tuple[StoredKey, ...]


def active(keys: Iterable[StoredKey]) -> StoredKey | None:
    """The key that signs."""
    return next((key for key in keys if key.state == "active"), None)


def standby(keys: Iterable[StoredKey]) -> StoredKey | None:
    """The key that waits to be called."""
    return next((key for key in keys if key.state == "next" and key.activates_at is None), None)


def newest_algorithm(keys: Keys) -> SigningAlgorithm:
    """What the platform signs with, or has been told to sign with from now on."""
    in_turn = [key for key in keys if key.state == "active" or (key.state == "next" and key.activates_at is not None)]
    return max(in_turn, key=lambda key: key.activates_at or key.created_at).algorithm if in_turn else "ES256"


def settled(keys: Keys, now: datetime, life: timedelta) -> Keys:
    """What time alone does: keys that were called become active, and what is retired for longer than `life` goes."""
    kept = tuple(key for key in keys if key.retired_at is None or now < key.retired_at + life)
    called = [(key.activates_at, key.kid) for key in kept if key.state == "next" and key.activates_at is not None]
    for _, kid in sorted(turn for turn in called if turn[0] <= now):
        kept = _promoted(kept, kid, now)
    return kept


def completed(keys: Keys, now: datetime, spare: StoredKey) -> Keys:
    """Without an active key the next that was published longest takes over; `spare` takes the place that is empty."""
    if active(keys) is None:
        waiting = [key for key in keys if key.state == "next"]
        if not waiting:
            return (*keys, replace(spare, state="active", created_at=now, activates_at=now))
        keys = _promoted(keys, min(waiting, key=attrgetter("created_at")).kid, now)
    return keys if standby(keys) else (*keys, replace(spare, created_at=now))


def rotated(keys: Keys, now: datetime, spare: StoredKey, publish: timedelta, *, at_once: bool = False) -> Keys:
    """Call the standby, or `spare` when it is of another algorithm, to sign once it was published for `publish`.

    `at_once` calls the next that was published longest, and it signs now. Keys of other algorithms that wait are
    dropped: they have signed nothing.
    """
    spare = replace(spare, created_at=now)
    keys = tuple(key for key in keys if key.state != "next" or key.algorithm == spare.algorithm)
    waiting = sorted((key for key in keys if key.state == "next"), key=attrgetter("created_at"))
    called = next(iter(waiting), spare) if at_once else standby(waiting) or spare
    moment = now if at_once else max(now, called.created_at + publish)
    others = tuple(key for key in keys if key.kid != called.kid)
    needed = called is not spare and standby(others) is None
    return (*others, replace(called, activates_at=moment), *([spare] if needed else []))


def retired(keys: Keys, now: datetime, kid: str, spare: StoredKey) -> Keys:
    """Let a key sign no more; it stays published. Raises `not_found`."""
    key = named(keys, kid)
    if key.state == "retired":
        return keys
    ended = replace(key, state="retired", retired_at=now)
    return completed(tuple(ended if other.kid == kid else other for other in keys), now, spare)


def removed(keys: Keys, now: datetime, kid: str, spare: StoredKey) -> Keys:
    """Publish a key no more. Raises `not_found`."""
    named(keys, kid)
    return completed(tuple(key for key in keys if key.kid != kid), now, spare)


def named(keys: Keys, kid: str) -> StoredKey:
    """The key called `kid`. Raises `not_found`."""
    for key in keys:
        if key.kid == kid:
            return key
    raise Error(ErrorCode.NOT_FOUND, "there is no such signing key")


def _promoted(keys: Keys, kid: str, now: datetime) -> Keys:
    return tuple(
        replace(key, state="active", activates_at=now)
        if key.kid == kid
        else replace(key, state="retired", retired_at=now)
        if key.state == "active"
        else key
        for key in keys
    )
