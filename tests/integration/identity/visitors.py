"""Somebody at a browser, who signs in through the provider of the tests."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pydantic import SecretStr

from shared.contracts.identity import Authentication
from shared.contracts.providers import AddProvider, AuthenticateByProvider, BeginProviderSignIn, Provider
from tests.integration.identity.conftest import Identity
from tests.support.oidc_provider import CLIENT_SECRET, SECRET_NAME, FakeProvider

CALLBACK = "https://id.example.com/auth/oauth/example/callback"
BROWSER = "secret of this browser alone"


def mounted(directory: Path) -> str:
    """The directory, now with the client's secret in it, for the setting `provider_secrets`."""
    (directory / SECRET_NAME).write_text(f"{CLIENT_SECRET}\n")
    return str(directory)


@dataclass
class Visitor:
    """A browser between `identity` and the provider."""

    identity: Identity
    provider: FakeProvider

    async def configure(self, *, kind: str = "oidc", name: str = "example", **more: Any) -> Provider:
        """Tell `identity` of the provider; by default it may bring new users and is trusted for no addresses."""
        given = {"allow_new_users": True} | more
        call = AddProvider(provider=self.provider.configured(name, kind, **given), replace=True)
        return await self.identity.callers["operator"].call(call)

    async def begin(self, name: str = "example", browser: str = BROWSER) -> str:
        """Where `identity` sends the browser."""
        begun = await self.identity.callers["gateway"].call(
            BeginProviderSignIn(provider=name, dialect="directus", callback_url=CALLBACK, browser=SecretStr(browser))
        )
        return begun.url.get_secret_value()

    async def visit(self, name: str = "example") -> dict[str, str]:
        """Go to the provider: what it sends the browser back with."""
        return await self.provider.visit(await self.begin(name))

    async def come_back(self, back: dict[str, str], **changed: Any) -> Authentication:
        """Come back, with the same browser, unless something is `changed`."""
        given: dict[str, Any] = {
            "provider": "example",
            "dialect": "directus",
            "state": SecretStr(back["state"]),
            "browser": SecretStr(BROWSER),
            "code": SecretStr(back["code"]),
            "issuer": back.get("iss"),
        }
        return await self.identity.callers["token"].call(AuthenticateByProvider(**(given | changed)))

    async def sign_in(self, name: str = "example") -> Authentication:
        """Go and come back."""
        return await self.come_back(await self.visit(name), provider=name)


def query(url: str) -> dict[str, str]:
    """The query of a URL."""
    return dict(parse_qsl(urlsplit(url).query))
