"""What operators can set for `otp`."""

import re
from email.utils import parseaddr
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator

from services.otp.prefixes import is_calling_code
from shared.redis_url import RedisUrl
from shared.server_urls import PostgresUrl
from shared.settings import CommaList, Settings, decode_key

_KEY_BYTES = 32
SHORTEST_TTL_SECONDS, LONGEST_TTL_SECONDS = 60, 1800
"""What the life of a code of digits can be set to."""

_PREFIX = re.compile(r"\+[1-9][0-9]{0,14}")
_LIMIT = re.compile(r"(\+[0-9]+)=([0-9]{1,9})")


def _limits(value: object) -> object:
    if not isinstance(value, str):
        return value
    limits: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in value.split(","))):
        limit = _LIMIT.fullmatch(part)
        if limit is None or not is_calling_code(limit[1]):
            raise ValueError("must be country calling codes with their limits, as +49=500,+1=50")
        if limit[1] in limits:
            raise ValueError(f"{limit[1]} is given twice")
        limits[limit[1]] = int(limit[2])
    return limits


class OtpSettings(Settings):
    """Settings of `otp`, as `DRAGOMAN_OTP_…`. A channel without its server or provider is off."""

    component: ClassVar[str] = "otp"

    postgres_url: PostgresUrl = Field(description="PostgreSQL URL of the service's own role")
    pool_size: int = Field(10, ge=1, le=100, description="PostgreSQL connections at most")
    redis_url: RedisUrl = Field(description="URL of Redis or of its sentinels (docs/redis.md)")
    redis_prefix: str = Field("dragoman:", description="what every Redis key begins with")
    prefetch: int = Field(
        64, ge=1, le=1000, description="calls, or groups, worked on at once, and as many deliveries of each channel"
    )

    code_key: SecretStr = Field(
        description="what codes are derived from: 32 random bytes or more as base64url; "
        "changing it voids the codes that are on their way"
    )
    code_digits: int = Field(6, ge=6, le=8, description="digits of a code")
    code_ttl_seconds: int = Field(600, ge=SHORTEST_TTL_SECONDS, description="how long a code lives; 1800 at most")
    link_ttl_seconds: int = Field(
        86_400, ge=300, le=604_800, description="how long a link that sets a new password lives"
    )
    repeat_seconds: int = Field(
        10, ge=0, le=60, description="the same request again within this time is taken for a retry: no second message"
    )
    resend_seconds: int = Field(
        60, ge=0, le=600, description="asked for again within this time of its making, the same code is sent again"
    )
    max_attempts: int = Field(5, ge=1, le=10, description="attempts per code, and per account within attempts_seconds")
    attempts_seconds: int = Field(3600, ge=60, le=86_400, description="how long an account's attempt counts")

    smtp_host: str = Field("", description="SMTP server; empty turns e-mail off")
    smtp_port: int = Field(587, ge=1, le=65_535, description="port of the SMTP server")
    smtp_tls: Literal["none", "starttls", "tls"] = Field("starttls", description="none, starttls (required) or tls")
    smtp_username: str = Field("", description="user name at the SMTP server; empty: no authentication")
    smtp_password: SecretStr = Field(SecretStr(""), description="password at the SMTP server")
    mail_from: str = Field("", description="sender of e-mails, as address or as Name <address>")

    sms_url: str = Field(
        "", pattern="^(https?://.+)?$", description="where SMS are posted (Twilio's form); empty turns SMS off"
    )
    sms_username: str = Field("", description="user name at the SMS provider; empty: no authentication")
    sms_password: SecretStr = Field(SecretStr(""), description="password at the SMS provider")
    sms_from: str = Field("", description="sender of SMS: a number in E.164 or a name the provider knows")

    sms_allowed_prefixes: CommaList = Field(
        [], description="what numbers must begin with to be sent SMS, as +49,+43 with commas; empty: all are"
    )
    sms_daily_limit: int = Field(1000, ge=0, description="SMS per day (UTC) in all; 0: no limit")
    sms_prefix_daily_limit: int = Field(
        200, ge=0, description="SMS per day (UTC) to each country calling code; 0: no limit"
    )
    sms_prefix_limits: Annotated[dict[str, int], BeforeValidator(_limits)] = Field(
        {}, description="other daily limits for some country calling codes, as +49=500,+1=50 with commas"
    )
    sms_min_verified_ratio: float = Field(
        0.1, ge=0, le=1, description="SMS to a calling code stop while a smaller part of their codes is used; 0: never"
    )
    sms_ratio_window_seconds: int = Field(
        3600, ge=60, le=86_400, description="how long an SMS counts for sms_min_verified_ratio"
    )
    sms_ratio_min_sent: int = Field(
        50, ge=1, description="sms_min_verified_ratio holds once so many SMS count for a calling code"
    )

    @field_validator("code_key")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if len(decode_key(value)) < _KEY_BYTES:
            raise ValueError(f"must be base64url of {_KEY_BYTES} bytes or more")
        return value

    @field_validator("code_ttl_seconds")
    @classmethod
    def _short_enough(cls, value: int) -> int:
        if value > LONGEST_TTL_SECONDS:
            raise ValueError(f"a code must not live longer than 30 minutes ({LONGEST_TTL_SECONDS})")
        return value

    @field_validator("sms_allowed_prefixes")
    @classmethod
    def _prefixes(cls, value: list[str]) -> list[str]:
        if not all(_PREFIX.fullmatch(prefix) for prefix in value):
            raise ValueError("must be the beginnings of numbers in E.164, as +49,+43")
        return value

    @field_validator("mail_from")
    @classmethod
    def _an_address(cls, value: str) -> str:
        local, _, domain = parseaddr(value)[1].rpartition("@")
        if value and not (local and domain and value.isprintable()):
            raise ValueError("must be an address or Name <address>")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.repeat_seconds <= self.resend_seconds <= self.code_ttl_seconds:
            raise ValueError("repeat_seconds, resend_seconds and code_ttl_seconds must not decrease in this order")
        if self.resend_seconds > self.link_ttl_seconds:
            raise ValueError("link_ttl_seconds must not be less than resend_seconds")
        if self.smtp_host and not self.mail_from:
            raise ValueError("smtp_host needs mail_from")
        if self.smtp_username and self.smtp_tls == "none":
            raise ValueError("smtp_username needs smtp_tls: the password would travel readable")
        if self.sms_url and not self.sms_from:
            raise ValueError("sms_url needs sms_from")
        return self
