"""What operators can set for the gateway."""

from typing import ClassVar, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from gateway.addresses import parse_networks
from gateway.cors import CorsPolicy
from gateway.forward_rules import parse_rules
from gateway.limits import rules
from gateway.redirects import check_prefix
from gateway.reset_urls import page_of
from shared.redis_url import OptionalRedisUrl
from shared.settings import CommaList, Settings

_COOKIE_NAME = r"^[A-Za-z0-9_-]+$"


class GatewaySettings(Settings):
    """Settings of the gateway, as `DRAGOMAN_GATEWAY_…`."""

    component: ClassVar[str] = "gateway"

    host: str = Field("127.0.0.1", description="address that clients reach")
    port: int = Field(8080, ge=0, le=65535, description="port that clients reach; 0 picks a free one and logs it")
    leave_seconds: float = Field(
        0.0,
        ge=0,
        le=60,
        description="how long to go on answering when told to stop, unready, until no balancer sends anybody here",
    )
    issuer: str = Field(pattern=r"^https?://[^?#]+$", description="the platform's own URL, as clients see it")
    audience: str = Field("", description="the `aud` that the platform's own endpoints expect; empty means the issuer")
    request_seconds: float = Field(5.0, ge=0.5, le=60, description="longest time to answer a request")
    redis_url: OptionalRedisUrl = Field(
        SecretStr(""),
        description="URL of Redis or of its sentinels (docs/redis.md), for the revocation stream and the limits; "
        "empty: revocations are polled and not handed on, and each process counts by itself",
    )
    redis_prefix: str = Field("dragoman:", description="what every Redis key begins with")
    trusted_proxies: CommaList = Field(
        [],
        description="networks (CIDR), with commas, of the proxies in front, whose X-Forwarded-For is believed; empty: "
        "nobody's",
    )
    limits: str = Field(
        "", description="rate limits that differ from the README's table, as it says there; `off` removes all"
    )
    hsts_seconds: int = Field(
        0, ge=0, le=63_072_000, description="max-age of Strict-Transport-Security on every answer; 0: it is not sent"
    )
    revocation_staleness_seconds: float = Field(
        60.0, gt=0, le=3600, description="how long revocations may be unheard before the gateway's own endpoints react"
    )
    revocation_when_stale: Literal["refuse", "accept"] = Field(
        "refuse", description="what they do then with access tokens that are not known to be revoked"
    )
    oauth2_body_invalid_client_400: bool = Field(
        False, description="answer 400 instead of 401 when credentials in the body are wrong, as seed 000's origin did"
    )
    directus_login_stall_ms: int = Field(
        500, ge=0, le=3000, description="least time of a refused Directus login and of asking for a password reset"
    )
    directus_refresh_cookie_name: str = Field(
        "directus_refresh_token", pattern=_COOKIE_NAME, description="cookie of a refresh token, in the mode cookie"
    )
    directus_session_cookie_name: str = Field(
        "directus_session_token", pattern=_COOKIE_NAME, description="cookie of an access token, in the mode session"
    )
    directus_cookie_domain: str = Field(
        "", pattern=r"^[A-Za-z0-9.-]*$", description="domain that gets those cookies; empty: the host that set them"
    )
    directus_cookie_secure: bool = Field(True, description="send them over HTTPS only; off is for development")
    directus_cookie_same_site: Literal["lax", "strict", "none"] = Field(
        "lax", description="whether other sites' requests carry them; none needs HTTPS"
    )
    directus_cors_origins: str = Field(
        "", description="origins whose scripts may speak to the Directus API with cookies, with commas"
    )
    directus_password_reset_url: str = Field(
        "", description="page that reset links lead to by default; empty means /admin/reset-password of the issuer"
    )
    directus_password_reset_url_allow_list: CommaList = Field(
        [], description="further pages that a client may have them lead to (origin and path), with commas"
    )
    directus_redirect_allow_list: CommaList = Field(
        [],
        description="pages that browsers may return to from an external provider (origin and path, which those below "
        "share), with commas; empty: none",
    )
    forward_auth_rules: str = Field(
        "", description="what requests that a proxy asks about need, as docs/forward-auth.md says; else a token"
    )
    forward_auth_audiences: str = Field(
        "", description="the `aud` of which their tokens must carry one, with commas; empty means the platform's own"
    )

    @property
    def directus_reset_page(self) -> str:
        """Where reset links lead when nobody says otherwise; never what a request's Host says."""
        return self.directus_password_reset_url or f"{self.issuer.rstrip('/')}/admin/reset-password"

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies_are_networks(cls, value: list[str]) -> list[str]:
        parse_networks(value)
        return value

    @field_validator("limits")
    @classmethod
    def _limits_are_readable(cls, value: str) -> str:
        rules.parse(value)
        return value

    @field_validator("directus_cors_origins")
    @classmethod
    def _origins_are_readable(cls, value: str) -> str:
        CorsPolicy.listed(value, ())
        return value

    @field_validator("directus_password_reset_url")
    @classmethod
    def _page_is_a_page(cls, value: str) -> str:
        if value:
            page_of(value)
        return value

    @field_validator("directus_password_reset_url_allow_list")
    @classmethod
    def _pages_are_pages(cls, value: list[str]) -> list[str]:
        for url in value:
            page_of(url)
            if "?" in url:
                raise ValueError(f"any query is allowed, so that that of {url} says nothing")
        return value

    @field_validator("directus_redirect_allow_list")
    @classmethod
    def _prefixes_are_prefixes(cls, value: list[str]) -> list[str]:
        for url in value:
            check_prefix(url)
        return value

    @model_validator(mode="after")
    def _cookies_can_be_kept(self) -> Self:
        if self.directus_cookie_same_site == "none" and not self.directus_cookie_secure:
            raise ValueError("directus_cookie_same_site is none, which browsers take from secure cookies only")
        if self.directus_refresh_cookie_name == self.directus_session_cookie_name:
            raise ValueError("directus_refresh_cookie_name and directus_session_cookie_name are the same")
        return self

    @field_validator("forward_auth_rules")
    @classmethod
    def _rules_are_readable(cls, value: str) -> str:
        parse_rules(value)
        return value
