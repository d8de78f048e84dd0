"""What operators can set for `token`."""

from typing import ClassVar

from pydantic import Field, SecretStr, field_validator

from shared.settings import Settings, decode_key

_DAY = 86_400
LONGEST_ACCESS_SECONDS = _DAY
"""The longest life that any access token can be given, and so the shortest that a revocation must have."""


class TokenSettings(Settings):
    """Settings of `token`, as `DRAGOMAN_TOKEN_…`."""

    component: ClassVar[str] = "token"

    postgres_url: SecretStr = Field(description="PostgreSQL URL of the service's own role")
    redis_url: SecretStr = Field(
        SecretStr(""), description="Redis URL, for the revocation stream; empty: gateways poll instead"
    )
    redis_prefix: str = Field("dragoman:", description="what every Redis key begins with")
    pool_size: int = Field(10, ge=1, le=100, description="PostgreSQL connections at most")
    prefetch: int = Field(64, ge=1, le=1000, description="calls worked on at once")
    issuer: str = Field(pattern=r"^https?://[^?#]+$", description="the `iss` of every token: the platform's own URL")
    audience: str = Field("", description="the `aud` of clients that name none; empty means the issuer")
    wrapping_key: SecretStr = Field(description="base64url of 32 bytes, under which private keys are encrypted at rest")
    wrapping_key_previous: SecretStr = Field(
        SecretStr(""), description="the wrapping key before, while `dragoman keys rewrap` is still to come"
    )
    key_publish_seconds: int = Field(
        60, ge=0, le=7 * _DAY, description="how long a key is published before it signs; below 30 verifiers may miss it"
    )
    refresh_key: SecretStr = Field(description="base64url of 32 bytes or more, from which refresh tokens are derived")
    access_seconds: int = Field(3600, ge=60, le=LONGEST_ACCESS_SECONDS, description="life of an access token")
    refresh_seconds: int = Field(14 * _DAY, ge=300, le=366 * _DAY, description="life of an unused refresh token")
    refresh_grace_seconds: int = Field(
        10, ge=0, le=300, description="how long the token before the current one still yields the current one"
    )
    hash_workers: int = Field(1, ge=0, le=64, description="threads for client secrets brought along; 0 is one per core")
    hash_queue: int = Field(64, ge=0, le=10_000, description="such secrets that may wait before `overloaded`")

    @field_validator("wrapping_key", "refresh_key")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if len(decode_key(value)) < 32:
            raise ValueError("must be base64url of at least 32 bytes")
        return value

    @field_validator("wrapping_key", "wrapping_key_previous")
    @classmethod
    def _aes_256(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and len(decode_key(value)) != 32:
            raise ValueError("must be base64url of exactly 32 bytes")
        return value
