"""What operators can set for `token`."""

from typing import ClassVar

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from services.token.domain import dialects
from services.token.domain.dialects import Lives, Policies
from shared.contracts.token import Dialect
from shared.redis_url import OptionalRedisUrl
from shared.server_urls import PostgresUrl
from shared.settings import Settings, decode_key

_DAY = 86_400
LONGEST_ACCESS_SECONDS = _DAY
"""The longest life that any access token can be given, and so the shortest that a revocation must have."""


class TokenSettings(Settings):
    """Settings of `token`, as `DRAGOMAN_TOKEN_…`."""

    component: ClassVar[str] = "token"

    postgres_url: PostgresUrl = Field(description="PostgreSQL URL of the service's own role")
    redis_url: OptionalRedisUrl = Field(
        SecretStr(""),
        description="URL of Redis or of its sentinels (docs/redis.md), for the revocation stream; empty: gateways poll "
        "instead",
    )
    redis_prefix: str = Field("dragoman:", description="what every Redis key begins with")
    pool_size: int = Field(10, ge=1, le=100, description="PostgreSQL connections at most")
    prefetch: int = Field(256, ge=1, le=1000, description="messages worked on at once, each a call or a group")
    issuer: str = Field(pattern=r"^https?://[^?#]+$", description="the `iss` of every token: the platform's own URL")
    audience: str = Field("", description="the `aud` of clients that name none; empty means the issuer")
    wrapping_key: SecretStr = Field(description="base64url of 32 bytes, under which private keys are encrypted at rest")
    wrapping_key_previous: SecretStr = Field(
        SecretStr(""), description="another wrapping key that is read: the one before or the one to come (docs/keys.md)"
    )
    key_publish_seconds: int = Field(
        60, ge=0, le=7 * _DAY, description="how long a key is published before it signs; below 30 verifiers may miss it"
    )
    refresh_key: SecretStr = Field(description="base64url of 32 bytes or more, from which refresh tokens are derived")
    refresh_key_previous: SecretStr = Field(
        SecretStr(""), description="another refresh key that is read: the one before or the one to come (docs/keys.md)"
    )
    access_seconds: int = Field(
        3600, ge=60, le=LONGEST_ACCESS_SECONDS, description="life of an access token of the oauth2 dialect"
    )
    refresh_seconds: int = Field(
        14 * _DAY, ge=300, le=366 * _DAY, description="life of an unused refresh token of the oauth2 dialect"
    )
    backoffice_access_seconds: int = Field(
        36_000, ge=60, le=LONGEST_ACCESS_SECONDS, description="life of an access token of the backoffice dialect"
    )
    backoffice_refresh_seconds: int = Field(
        30 * _DAY, ge=300, le=366 * _DAY, description="life of an unused refresh token of the backoffice dialect"
    )
    enterprise_access_seconds: int = Field(
        _DAY,
        ge=60,
        le=LONGEST_ACCESS_SECONDS,
        description="life of an access token of the enterprise dialect, whose clients take it for a day",
    )
    enterprise_refresh_seconds: int = Field(
        90 * _DAY, ge=300, le=366 * _DAY, description="life of a refresh token of the enterprise dialect, used or not"
    )
    enterprise_refresh_limit: int = Field(
        90, ge=1, le=100_000, description="access tokens that one refresh token of the enterprise dialect yields"
    )
    directus_access_seconds: int = Field(
        900, ge=60, le=LONGEST_ACCESS_SECONDS, description="life of an access token of the directus dialect"
    )
    directus_refresh_seconds: int = Field(
        7 * _DAY, ge=300, le=366 * _DAY, description="life of an unused refresh token of the directus dialect"
    )
    refresh_grace_seconds: int = Field(
        10, ge=0, le=300, description="how long the token before the current one still yields the current one"
    )
    hash_workers: int = Field(1, ge=0, le=64, description="threads for client secrets brought along; 0 is one per core")
    hash_queue: int = Field(64, ge=0, le=10_000, description="such secrets that may wait before `overloaded`")

    def policies(self) -> Policies:
        """The rules of each dialect."""
        lives: dict[Dialect, Lives] = {
            "oauth2": Lives(self.access_seconds, self.refresh_seconds),
            "backoffice": Lives(self.backoffice_access_seconds, self.backoffice_refresh_seconds),
            "enterprise": Lives(self.enterprise_access_seconds, self.enterprise_refresh_seconds),
            "directus": Lives(self.directus_access_seconds, self.directus_refresh_seconds),
        }
        return dialects.policies(lives, enterprise_refresh_limit=self.enterprise_refresh_limit)

    @field_validator("wrapping_key", "refresh_key", "refresh_key_previous")
    @classmethod
    def _long_enough(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        if info.field_name == "refresh_key_previous" and not value.get_secret_value():
            return value
        if len(decode_key(value)) < 32:
            raise ValueError("must be base64url of at least 32 bytes")
        return value

    @field_validator("wrapping_key", "wrapping_key_previous")
    @classmethod
    def _aes_256(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and len(decode_key(value)) != 32:
            raise ValueError("must be base64url of exactly 32 bytes")
        return value
