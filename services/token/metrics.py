"""What `token` alone measures."""

from prometheus_client import CollectorRegistry, Gauge

from services.token.key_ring import KeyRing


def measure_signing_key(keys: KeyRing, registry: CollectorRegistry) -> None:
    """Show for how long the same key has signed, whenever the metrics are read."""
    age = Gauge(
        "dragoman_signing_key_age_seconds",
        "For how long the active key has signed; 0 before the first was read.",
        registry=registry,
    )
    age.set_function(keys.signing_for)
