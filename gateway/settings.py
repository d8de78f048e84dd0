"""What operators can set for the gateway."""

from typing import ClassVar

from pydantic import Field

from shared.settings import Settings


class GatewaySettings(Settings):
    """Settings of the gateway, as `DRAGOMAN_GATEWAY_…`."""

    component: ClassVar[str] = "gateway"

    host: str = Field("127.0.0.1", description="address that clients reach")
    port: int = Field(8080, ge=0, le=65535, description="port that clients reach; 0 picks a free one and logs it")
    issuer: str = Field(pattern=r"^https?://[^?#]+$", description="the platform's own URL, as clients see it")
    audience: str = Field("", description="the `aud` that the platform's own endpoints expect; empty means the issuer")
    request_seconds: float = Field(5.0, ge=0.5, le=60, description="longest time to answer a request")
    oauth2_body_invalid_client_400: bool = Field(
        False, description="answer 400 instead of 401 when credentials in the body are wrong, as seed 000's origin did"
    )
