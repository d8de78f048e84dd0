"""What the operator may choose for `token`."""

import pytest

from services.token.settings import TokenSettings
from shared.settings import SettingsError

REQUIRED = {
    "DRAGOMAN_POSTGRES_URL": "postgresql://nowhere/x",
    "DRAGOMAN_RABBITMQ_URL": "amqp://nowhere",
    "DRAGOMAN_ISSUER": "https://id.example.com",
    "DRAGOMAN_TOKEN_WRAPPING_KEY": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    "DRAGOMAN_TOKEN_REFRESH_KEY": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
}


def test_defaults_of_the_token_api() -> None:
    """Access tokens live an hour, refresh tokens two weeks."""
    settings = TokenSettings.load(REQUIRED)
    assert (settings.access_seconds, settings.refresh_seconds) == (3600, 14 * 86_400)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOKEN_WRAPPING_KEY", "AAECAwQFBgcICQoLDA0ODw"),
        ("TOKEN_WRAPPING_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIj"),
        ("TOKEN_WRAPPING_KEY", "not base64url at all, but long enough to be thirty-two bytes"),
        ("TOKEN_WRAPPING_KEY", ""),
        ("TOKEN_WRAPPING_KEY_PREVIOUS", "AAECAwQFBgcICQoLDA0ODw"),
        ("TOKEN_KEY_PUBLISH_SECONDS", "-1"),
        ("TOKEN_REFRESH_KEY", "short"),
        ("ISSUER", "id.example.com"),
        ("TOKEN_ACCESS_SECONDS", "0"),
        ("TOKEN_REFRESH_GRACE_SECONDS", "-1"),
        ("TOKEN_ENTERPRISE_ACCESS_SECONDS", "86401"),
        ("TOKEN_BACKOFFICE_ACCESS_SECONDS", "86401"),
        ("TOKEN_DIRECTUS_ACCESS_SECONDS", "59"),
        ("TOKEN_DIRECTUS_REFRESH_SECONDS", "299"),
        ("TOKEN_ENTERPRISE_REFRESH_LIMIT", "0"),
    ],
)
def test_refused(name: str, value: str) -> None:
    """A key of the wrong length, an issuer that is no URL and lives out of bounds are named."""
    with pytest.raises(SettingsError, match=f"DRAGOMAN_{name}: "):
        TokenSettings.load(REQUIRED | {f"DRAGOMAN_{name}": value})


def test_secrets_are_not_shown() -> None:
    """The message about a bad key does not repeat the key."""
    with pytest.raises(SettingsError) as caught:
        TokenSettings.load(REQUIRED | {"DRAGOMAN_TOKEN_REFRESH_KEY": "a-secret-too-short"})
    assert "a-secret-too-short" not in str(caught.value)
