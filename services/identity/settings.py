"""What operators can set for `identity`."""

from typing import ClassVar

import phonenumbers
from pydantic import Field, SecretStr, field_validator

from shared.settings import Settings


class IdentitySettings(Settings):
    """Settings of `identity`, as `DRAGOMAN_IDENTITY_…`."""

    component: ClassVar[str] = "identity"

    postgres_url: SecretStr = Field(description="PostgreSQL URL of the service's own role")
    pool_size: int = Field(10, ge=1, le=100, description="PostgreSQL connections at most")
    prefetch: int = Field(64, ge=1, le=1000, description="calls worked on at once")
    default_region: str = Field(
        "DE", description="country (ISO 3166-1 alpha-2) of phone numbers given without a country code"
    )
    otp_enabled: bool = Field(False, description="whether one-time codes can be requested and used as passwords")
    allow_new_users: bool = Field(
        False, description="whether a code may be sent to an address that nobody has, and using it creates the user"
    )

    @field_validator("default_region")
    @classmethod
    def _known_region(cls, value: str) -> str:
        if value.upper() not in phonenumbers.SUPPORTED_REGIONS:
            raise ValueError("not a region that phone numbers are known for")
        return value.upper()
