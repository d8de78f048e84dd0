"""What `otp` refuses at start."""

import pytest

from services.otp.settings import OtpSettings
from shared.settings import SettingsError, decode_key

ENVIRONMENT = {
    "DRAGOMAN_POSTGRES_URL": "postgres://db",
    "DRAGOMAN_REDIS_URL": "redis://cache",
    "DRAGOMAN_RABBITMQ_URL": "amqp://broker",
    "DRAGOMAN_OTP_CODE_KEY": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
}


def test_the_least_settings_are_enough() -> None:
    """With the servers and a key alone `otp` starts, and codes live for ten minutes, links for a day."""
    settings = OtpSettings.load(ENVIRONMENT)
    assert decode_key(settings.code_key) == bytes(range(32))
    assert (settings.code_digits, settings.code_ttl_seconds, settings.max_attempts) == (6, 600, 5)
    assert settings.link_ttl_seconds == 24 * 3600


def test_a_key_may_be_padded() -> None:
    """Both ways of writing base64url are understood."""
    padded = {"DRAGOMAN_OTP_CODE_KEY": ENVIRONMENT["DRAGOMAN_OTP_CODE_KEY"] + "="}
    assert decode_key(OtpSettings.load(ENVIRONMENT | padded).code_key) == bytes(range(32))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"CODE_TTL_SECONDS": "1801"}, "30 minutes (1800)"),
        ({"CODE_TTL_SECONDS": "59"}, "60"),
        ({"LINK_TTL_SECONDS": "299"}, "300"),
        ({"LINK_TTL_SECONDS": "604801"}, "604800"),
        ({"LINK_TTL_SECONDS": "300", "RESEND_SECONDS": "301"}, "less than resend_seconds"),
        ({"CODE_DIGITS": "5"}, "6"),
        ({"CODE_DIGITS": "9"}, "8"),
        ({"CODE_KEY": "c2hvcnQ"}, "32 bytes"),
        ({"CODE_KEY": "!" * 43}, "32 bytes"),
        ({"RESEND_SECONDS": "300", "CODE_TTL_SECONDS": "120"}, "must not decrease"),
        ({"SMTP_HOST": "mail"}, "mail_from"),
        ({"SMTP_HOST": "mail", "MAIL_FROM": "nobody"}, "must be an address"),
        (
            {"SMTP_HOST": "mail", "MAIL_FROM": "a@b.c", "SMTP_USERNAME": "u", "SMTP_TLS": "none"},
            "travel readable",
        ),
        ({"SMS_URL": "https://sms.example"}, "sms_from"),
        ({"SMS_URL": "file:///etc/passwd"}, "sms_url"),
    ],
)
def test_mistakes_are_refused_at_start(changed: dict[str, str], said: str) -> None:
    """A setting that cannot work ends the start with a line that says why."""
    named = {f"DRAGOMAN_OTP_{name}": value for name, value in changed.items()}
    with pytest.raises(SettingsError) as refused:
        OtpSettings.load(ENVIRONMENT | named)
    assert said in str(refused.value).lower()


def test_a_refused_key_is_not_repeated() -> None:
    """A key with a typing error does not end up on the operator's screen."""
    with pytest.raises(SettingsError) as refused:
        OtpSettings.load(ENVIRONMENT | {"DRAGOMAN_OTP_CODE_KEY": "not-long-enough"})
    assert "not-long-enough" not in str(refused.value)
