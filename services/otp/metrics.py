"""What `otp` counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

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
        self.sms_budget = Counter(
            "dragoman_otp_sms_budget",
            "SMS by country calling code: sent, verified, or refused and why.",
            ["prefix", "outcome"],
            registry=registry,
        )
        self.sms_sent_today = Gauge(
            "dragoman_otp_sms_sent_today", "SMS of this day (UTC), of all replicas.", ["prefix"], registry=registry
        )
        self.sms_verified_today = Gauge(
            "dragoman_otp_sms_verified_today",
            "SMS of this day (UTC) whose code was used, of all replicas.",
            ["prefix"],
            registry=registry,
        )
