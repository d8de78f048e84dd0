"""Mistakes in identity's settings are told before it starts."""

import pytest

from services.identity.settings import IdentitySettings
from shared.settings import SettingsError

ENVIRONMENT = {
    "DRAGOMAN_RABBITMQ_URL": "amqp://broker",
    "DRAGOMAN_POSTGRES_URL": "postgresql://database",
    "DRAGOMAN_REDIS_URL": "redis://cache",
    "DRAGOMAN_IDENTITY_SECRET_KEY": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
}


def test_defaults() -> None:
    """Three URLs and a key are all it needs."""
    settings = IdentitySettings.load(ENVIRONMENT)
    assert (settings.failures_allowed, settings.challenge_attempts, settings.totp_issuer) == (10, 3, "Dragoman")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "c2hvcnQ"),
        ("SECRET_KEY", "not base64url at all, though long enough for a key of 32 bytes"),
        ("CHALLENGE_SECONDS", "59"),
        ("CHALLENGE_SECONDS", "901"),
        ("CHALLENGE_ATTEMPTS", "0"),
        ("FAILURES_ALLOWED", "101"),
        ("LONGEST_DELAY_SECONDS", "0"),
        ("FORGET_FAILURES_SECONDS", "0"),
        ("KNOWN_SOURCE_DAYS", "-1"),
        ("KNOWN_SOURCE_DAYS", "366"),
        ("KNOWN_SOURCES", "0"),
        ("KNOWN_SOURCES", "101"),
        ("PROVIDER_SECONDS", "0"),
        ("PROVIDER_SECONDS", "4.5"),
        ("TOTP_ISSUER", ""),
        ("TOTP_ISSUER", "a:b"),
        ("DEFAULT_REGION", "ZZ"),
    ],
)
def test_mistakes(name: str, value: str) -> None:
    """A value that cannot work is named, and a secret is not shown."""
    variable = f"DRAGOMAN_IDENTITY_{name}"
    with pytest.raises(SettingsError) as caught:
        IdentitySettings.load(ENVIRONMENT | {variable: value})
    (problem,) = caught.value.problems
    assert problem.startswith(f"{variable}: ")
    assert name != "SECRET_KEY" or value not in problem
