"""What a browser keeps while somebody signs in through an external provider.

Two cookies for each provider, both HttpOnly and for the paths of signing in alone: `oauth2.<provider>` while the
provider has the browser, `oauth2.<provider>.challenge` while a second factor is waited for. They are SameSite=Lax
whatever the setting says of the others: the way back from a provider begins at another site, and Strict ones stay
behind. They have no domain, so that no other host gets to see them.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from yarl import URL

from gateway.body import is_clean
from gateway.settings import GatewaySettings
from shared.json_bytes import json_bytes

_SECONDS = 300
"""As long as the state lives that identity keeps."""


class Begun(BaseModel):
    """A sign-in that this browser has begun: its own secret, and the page that it is to return to."""

    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    browser: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]
    redirect: str | None = None


class ProviderCookies:
    """Sets, reads and takes back the cookies of one sign-in."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._secure = settings.directus_cookie_secure
        self._path = f"{URL(settings.issuer).path.rstrip('/')}/auth"

    def remember(self, response: web.Response, provider: str, begun: Begun) -> None:
        """Have the browser keep what it began."""
        value = urlsafe_b64encode(json_bytes(begun.model_dump())).rstrip(b"=").decode()
        self._set(response, _begun(provider), value, max_age=_SECONDS)

    def begun(self, request: web.Request, provider: str) -> Begun | None:
        """What this browser began, None where it began nothing, or its cookie is none of ours."""
        text = request.cookies.get(_begun(provider), "")
        try:
            return Begun.model_validate_json(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        except ValueError:  # of the encoding or, as pydantic's, of what is in it
            return None

    def keep_challenge(
        self, response: web.Response, provider: str, challenge: SecretStr, expires_at: datetime | None
    ) -> None:
        """Have the browser keep the challenge that a second factor is to answer, for as long as it lives."""
        expires = None if expires_at is None else format_datetime(expires_at.astimezone(UTC), usegmt=True)
        self._set(response, _challenge(provider), challenge.get_secret_value(), expires=expires)

    def challenge(self, request: web.Request, provider: str) -> SecretStr | None:
        """The challenge that a request's cookie has, None without one."""
        value = request.cookies.get(_challenge(provider), "")
        return SecretStr(value) if value and is_clean(value) else None

    def forget(self, request: web.Request, response: web.Response, provider: str) -> None:
        """Have the browser forget what it began, where it sent that."""
        self._take_back(request, response, _begun(provider))

    def forget_challenge(self, request: web.Request, response: web.Response, provider: str) -> None:
        """Have the browser forget the challenge, where it sent that."""
        self._take_back(request, response, _challenge(provider))

    def _take_back(self, request: web.Request, response: web.Response, name: str) -> None:
        if name in request.cookies:
            self._set(response, name, "", max_age=0)

    def _set(
        self, response: web.Response, name: str, value: str, *, max_age: int | None = None, expires: str | None = None
    ) -> None:
        response.set_cookie(
            name,
            value,
            max_age=max_age,
            expires=expires,
            path=self._path,
            secure=self._secure,
            httponly=True,
            samesite="Lax",
        )


def _begun(provider: str) -> str:
    return f"oauth2.{provider}"


def _challenge(provider: str) -> str:
    return f"oauth2.{provider}.challenge"
