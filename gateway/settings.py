"""What operators can set for the gateway."""

from typing import ClassVar, Literal

from pydantic import Field, SecretStr, field_validator

from gateway.forward_rules import parse_rules
from shared.settings import Settings


class GatewaySettings(Settings):
    """Settings of the gateway, as `DRAGOMAN_GATEWAY_…`."""

    component: ClassVar[str] = "gateway"

    host: str = Field("127.0.0.1", description="address that clients reach")
    port: int = Field(8080, ge=0, le=65535, description="port that clients reach; 0 picks a free one and logs it")
    issuer: str = Field(pattern=r"^https?://[^?#]+$", description="the platform's own URL, as clients see it")
    audience: str = Field("", description="the `aud` that the platform's own endpoints expect; empty means the issuer")
    request_seconds: float = Field(5.0, ge=0.5, le=60, description="longest time to answer a request")
    redis_url: SecretStr = Field(
        SecretStr(""), description="Redis URL, for the revocation stream; empty: it is polled, and not handed on"
    )
    redis_prefix: str = Field("dragoman:", description="what every Redis key begins with")
    revocation_staleness_seconds: float = Field(
        60.0, gt=0, le=3600, description="how long revocations may be unheard before the gateway's own endpoints react"
    )
    revocation_when_stale: Literal["refuse", "accept"] = Field(
        "refuse", description="what they do then with access tokens that are not known to be revoked"
    )
    oauth2_body_invalid_client_400: bool = Field(
        False, description="answer 400 instead of 401 when credentials in the body are wrong, as seed 000's origin did"
    )
    forward_auth_rules: str = Field(
        "", description="what requests that a proxy asks about need, as docs/forward-auth.md says; else a token"
    )
    forward_auth_audiences: str = Field(
        "", description="the `aud` of which their tokens must carry one, with commas; empty means the platform's own"
    )

    @field_validator("forward_auth_rules")
    @classmethod
    def _rules_are_readable(cls, value: str) -> str:
        parse_rules(value)
        return value
