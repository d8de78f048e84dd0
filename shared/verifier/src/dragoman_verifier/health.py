"""How a verifier does, for readiness probes and metrics."""

from dataclasses import dataclass
from typing import Literal

FeedState = Literal["off", "live", "stale"]


@dataclass(frozen=True)
class Health:
    """A moment's state; ages in seconds, None before the first success; a problem is None while all is well."""

    keys: int
    keys_age: float | None
    key_fetches: int
    keys_problem: str | None
    revocations: FeedState
    revocations_age: float | None
    revoked: int
    revocations_problem: str | None
    cached: int
    cache_hits: int
    cache_misses: int


_METRICS = (
    ("keys", "gauge", "Public keys at hand.", lambda health: health.keys),
    ("keys_age_seconds", "gauge", "Time since the keys were fetched.", lambda health: health.keys_age),
    ("key_fetches_total", "counter", "Times the keys were asked for.", lambda health: health.key_fetches),
    ("revocations_live", "gauge", "1 while the feed is heard.", lambda health: int(health.revocations == "live")),
    ("revocations_age_seconds", "gauge", "Time since the feed was heard.", lambda health: health.revocations_age),
    ("revoked", "gauge", "Revocations in force.", lambda health: health.revoked),
    ("cached_tokens", "gauge", "Verified tokens remembered.", lambda health: health.cached),
    ("cache_hits_total", "counter", "Verifications of a remembered token.", lambda health: health.cache_hits),
    ("cache_misses_total", "counter", "Verifications of a new token.", lambda health: health.cache_misses),
)


def prometheus(health: Health) -> str:
    """The state as Prometheus text (exposition format 0.0.4), without what is unknown or off."""
    lines: list[str] = []
    for name, kind, told, read in _METRICS:
        value = read(health)
        if value is None or (name == "revocations_live" and health.revocations == "off"):
            continue
        full = f"dragoman_verifier_{name}"
        lines += [f"# HELP {full} {told}", f"# TYPE {full} {kind}", f"{full} {value}"]
    return "\n".join(lines) + "\n"
