"""What the gateway alone measures."""

from prometheus_client import CollectorRegistry, Gauge

from gateway.revocations import RevocationFeed


def measure_feed(feed: RevocationFeed, registry: CollectorRegistry) -> None:
    """Show how old the news of revocations are, and how many are known, whenever the metrics are read."""
    age = Gauge(
        "dragoman_revocation_feed_age_seconds",
        "Since when no news of revocations could have come; +Inf before the first.",
        registry=registry,
    )
    age.set_function(lambda: float("inf") if feed.age is None else feed.age)
    known = Gauge("dragoman_revocation_feed_known", "Revocations that tokens are refused by.", registry=registry)
    known.set_function(lambda: len(feed.revoked))
