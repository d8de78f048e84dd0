"""What `otp` counts."""

from prometheus_client import CollectorRegistry, Counter, Histogram

_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)


class OtpMetrics:
    """Codes from their making to their use."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.issued = Counter(
            "dragoman_otp_codes_issued", "Messages with a code asked for.", ["channel"], registry=registry
        )
        self.checks = Counter("dragoman_otp_checks", "Codes checked, by outcome.", ["outcome"], registry=registry)
        self.deliveries = Counter(
            "dragoman_otp_deliveries", "Attempts to deliver, by outcome.", ["channel", "outcome"], registry=registry
        )
        self.delivery_seconds = Histogram(
            "dragoman_otp_delivery_seconds",
            "Time from the request for a code until a provider took it.",
            ["channel"],
            buckets=_SECONDS,
            registry=registry,
        )
