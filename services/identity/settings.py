"""What operators can set for `identity`."""

from typing import ClassVar

import phonenumbers
from pydantic import Field, SecretStr, ValidationInfo, field_validator

from shared.redis_url import RedisUrl
from shared.server_urls import PostgresUrl
from shared.settings import Settings, decode_key

_KEY_BYTES = 32


class IdentitySettings(Settings):
    """Settings of `identity`, as `DRAGOMAN_IDENTITY_…`."""

    component: ClassVar[str] = "identity"

    postgres_url: PostgresUrl = Field(description="PostgreSQL URL of the service's own role")
    pool_size: int = Field(10, ge=1, le=100, description="PostgreSQL connections at most")
    redis_url: RedisUrl = Field(
        description="URL of Redis or of its sentinels (docs/redis.md), for challenges and for failed attempts"
    )
    redis_prefix: str = Field("dragoman:", description="what every Redis key begins with")
    prefetch: int = Field(256, ge=1, le=1000, description="messages worked on at once, each a call or a group")
    secret_key: SecretStr = Field(
        description="what TOTP secrets are encrypted under, recovery codes and names in Redis derived from: 32 random "
        "bytes or more as base64url; when it changes, sign-ins under way begin anew, and failed attempts are forgotten"
    )
    secret_key_previous: SecretStr = Field(
        SecretStr(""), description="another secret key that is read: the one before or the one to come (docs/keys.md)"
    )
    default_region: str = Field(
        "DE", description="country (ISO 3166-1 alpha-2) of phone numbers given without a country code"
    )
    otp_enabled: bool = Field(
        False,
        description="whether one-time codes can be requested and used as passwords, where `dragoman settings` does not "
        "say otherwise",
    )
    allow_new_users: bool = Field(
        False,
        description="whether a code may be sent to an address that nobody has, and using it creates the user, where "
        "`dragoman settings` does not say otherwise",
    )
    challenge_seconds: int = Field(
        600, ge=60, le=900, description="how long a challenge (second factor, new password) can be answered"
    )
    challenge_attempts: int = Field(3, ge=1, le=10, description="wrong answers after which a challenge is gone")
    failures_allowed: int = Field(
        10,
        ge=3,
        le=100,
        description="attempts in a row that may fail for one account, in all dialects together, before delays begin",
    )
    longest_delay_seconds: int = Field(
        900, ge=1, le=3600, description="delays double with each failure, beginning with a second, up to this"
    )
    forget_failures_seconds: int = Field(
        3600,
        ge=60,
        le=86_400,
        description="how long an account must be left in peace before its failures are forgotten",
    )
    known_source_days: int = Field(
        30,
        ge=0,
        le=365,
        description="how long after a sign-in its network keeps an allowance of failures of its own for that account, "
        "which strangers can't use up; 0 counts all networks together",
    )
    known_sources: int = Field(
        20, ge=1, le=100, description="networks at most that have such an allowance for one account, the newest ones"
    )
    totp_issuer: str = Field(
        "Dragoman", min_length=1, max_length=64, pattern=r"^[^:\x00-\x1f]+$", description="what authenticators call us"
    )
    provider_secrets: str = Field(
        "",
        description="directory with the client secrets of external providers, a file for each, as a mounted Kubernetes "
        "Secret has them; empty: there are none",
    )
    provider_seconds: float = Field(
        3.0, gt=0, le=4.0, description="how long one sign-in may wait for an external provider, coming and going"
    )

    @field_validator("default_region")
    @classmethod
    def _known_region(cls, value: str) -> str:
        if value.upper() not in phonenumbers.SUPPORTED_REGIONS:
            raise ValueError("not a region that phone numbers are known for")
        return value.upper()

    @field_validator("secret_key", "secret_key_previous")
    @classmethod
    def _long_enough(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        if info.field_name == "secret_key_previous" and not value.get_secret_value():
            return value
        if len(decode_key(value)) < _KEY_BYTES:
            raise ValueError(f"must be base64url of {_KEY_BYTES} bytes or more")
        return value
