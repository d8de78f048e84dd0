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
        ({"SMS_ALLOWED_PREFIXES": "+49,0043"}, "beginnings of numbers"),
        ({"SMS_ALLOWED_PREFIXES": "+0"}, "beginnings of numbers"),
        ({"SMS_ALLOWED_PREFIXES": "de"}, "beginnings of numbers"),
        ({"SMS_DAILY_LIMIT": "-1"}, "sms_daily_limit"),
        ({"SMS_PREFIX_DAILY_LIMIT": "-1"}, "sms_prefix_daily_limit"),
        ({"SMS_PREFIX_LIMITS": "+49"}, "+49=500"),
        ({"SMS_PREFIX_LIMITS": "+49=many"}, "+49=500"),
        ({"SMS_PREFIX_LIMITS": "49=500"}, "+49=500"),
        ({"SMS_PREFIX_LIMITS": "+491=500"}, "+49=500"),
        ({"SMS_PREFIX_LIMITS": "+49=1,+1=2,+49=3"}, "+49 is given twice"),
        ({"SMS_MIN_VERIFIED_RATIO": "1.1"}, "sms_min_verified_ratio"),
        ({"SMS_MIN_VERIFIED_RATIO": "nan"}, "sms_min_verified_ratio"),
        ({"SMS_RATIO_WINDOW_SECONDS": "59"}, "60"),
        ({"SMS_RATIO_MIN_SENT": "0"}, "sms_ratio_min_sent"),
    ],
)
def test_mistakes_are_refused_at_start(changed: dict[str, str], said: str) -> None:
    """A setting that cannot work ends the start with a line that says why."""
    named = {f"DRAGOMAN_OTP_{name}": value for name, value in changed.items()}
    with pytest.raises(SettingsError) as refused:
        OtpSettings.load(ENVIRONMENT | named)
    assert said in str(refused.value).lower()


def test_sms_pumping_is_bounded_by_default() -> None:
    """Row 17: whoever sets nothing has limits by day and by calling code, and the stop for codes that nobody uses."""
    settings = OtpSettings.load(ENVIRONMENT)
    assert (settings.sms_daily_limit, settings.sms_prefix_daily_limit) == (1000, 200)
    assert (settings.sms_min_verified_ratio, settings.sms_ratio_min_sent) == (0.1, 50)
    assert settings.sms_allowed_prefixes == []


def test_prefixes_and_their_limits_are_lists_with_commas() -> None:
    """Blanks and a comma too many do no harm."""
    settings = OtpSettings.load(
        ENVIRONMENT
        | {"DRAGOMAN_OTP_SMS_ALLOWED_PREFIXES": "+49, +1876,", "DRAGOMAN_OTP_SMS_PREFIX_LIMITS": "+49=500, +1=0,"}
    )
    assert settings.sms_allowed_prefixes == ["+49", "+1876"]
    assert settings.sms_prefix_limits == {"+49": 500, "+1": 0}


def test_a_refused_key_is_not_repeated() -> None:
    """A key with a typing error does not end up on the operator's screen."""
    with pytest.raises(SettingsError) as refused:
        OtpSettings.load(ENVIRONMENT | {"DRAGOMAN_OTP_CODE_KEY": "not-long-enough"})
    assert "not-long-enough" not in str(refused.value)
