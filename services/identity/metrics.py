"""What `identity` counts."""

from prometheus_client import CollectorRegistry, Counter


class IdentityMetrics:
    """Attempts to prove something, as the limit saw them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.attempts = Counter(
            "dragoman_identity_attempts",
            "Attempts at passwords and codes: admitted, delayed, and those two by this process alone, without Redis; "
            "undecided ones waited in vain for others under way. A known source has an allowance of its own.",
            ["outcome", "source"],
            registry=registry,
        )


class ProviderMetrics:
    """Sign-ins that came back from providers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.sign_ins = Counter(
            "dragoman_identity_provider_sign_ins",
            "Sign-ins that came back from a provider, by what became of them: signed_in, challenged, or the error.",
            ["provider", "outcome"],
            registry=registry,
        )
