"""A platform whose users may come from a real OpenID provider, and an application that sends them there."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from aiohttp import ClientSession, ClientTimeout, CookieJar, web

from deploy.running.components import program
from deploy.servers.places import free_port
from tests.e2e.conftest import new_platform, start
from tests.support import oidc_provider
from tests.support.leaks import USED_SECRETS
from tests.support.node_provider import NodeProvider, node_provider
from tests.support.platform import Platform
from tests.support.urls import ServerUrls
from tests.support.visitor import Visitor

_CLIENT_ID, _CLIENT_SECRET, _SECRET_NAME = "dragoman", "the-client-secret-at-the-provider", "node"
_NAMES = ("company", "club")
_ACCOUNTS: dict[str, dict[str, Any]] = {
    "ada": {"email": "Ada@example.com", "email_verified": True},
    "grace": {"email": "grace@example.com", "email_verified": True},
    "otto": {"email": "otto@example.com", "email_verified": True},
    "someone": {"email": "someone@example.com", "email_verified": True},
    "suspended": {"email": "suspended@example.com", "email_verified": True},
    "unverified": {"email": "admin@example.com", "email_verified": False},
}
_PAGE = """<!doctype html>
<title>An application</title>
<a id="sign-in" href="{begin}">Sign in with the company's account</a>
<script>
(async () => {{
  if (location.pathname !== '/signed-in') return
  const body = JSON.stringify({{ mode: 'cookie' }})
  const how = {{ method: 'POST', credentials: 'include', headers: {{ 'Content-Type': 'application/json' }}, body }}
  const refreshed = await (await fetch('{gateway}/auth/refresh', how)).json()
  const bearer = {{ headers: {{ Authorization: `Bearer ${{refreshed.data.access_token}}` }} }}
  const me = await (await fetch('{gateway}/users/me', bearer)).json()
  const user = document.createElement('p')
  user.id = 'user'
  user.textContent = me.data.email
  document.body.append(user)
}})()
</script>
"""


@dataclass(frozen=True)
class Site:
    """All of it, running; `application` is the origin of the application, which listens when it is asked to."""

    platform: Platform
    provider: NodeProvider
    application: str

    @property
    def page(self) -> str:
        """The application's page that people come back to."""
        return f"{self.application}/signed-in"

    def begin(self, path: str = "/auth/oauth/company", redirect: str | None = "") -> str:
        """Where the application sends people; empty: with its page as the way back, None: without one."""
        if redirect is None:
            return f"{self.platform.url}{path}"
        return f"{self.platform.url}{path}{'&' if '?' in path else '?'}redirect={quote(redirect or self.page, safe='')}"

    async def add_provider(self, name: str, issuer: str, *more: str) -> None:
        """Add a provider as operators do, or replace it."""
        command = (program("dragoman"), "provider", "add", name, "--replace", "--issuer", issuer, *more)
        await self.platform.run(*command)

    async def user(self, visitor: Visitor, token: str = "") -> dict[str, Any]:
        """The user whose access token it is, by default as whom the visitor's refresh cookie counts."""
        url = self.platform.url
        if not token:
            async with visitor.http.post(f"{url}/auth/refresh", json={"mode": "cookie"}) as response:
                assert response.status == 200, await response.text()
                token = (await response.json())["data"]["access_token"]
        USED_SECRETS.note(token)
        async with visitor.http.get(f"{url}/users/me", headers={"Authorization": f"Bearer {token}"}) as response:
            assert response.status == 200, await response.text()
            found: dict[str, Any] = (await response.json())["data"]
            return found

    @asynccontextmanager
    async def open_application(self) -> AsyncIterator[None]:
        """The application: every page of it has a link to sign in, and the one to come back to says who one is."""
        page = _PAGE.format(begin=self.begin(), gateway=self.platform.url)

        async def show(_request: web.Request) -> web.Response:
            return web.Response(text=page, content_type="text/html")

        app = web.Application()
        app.router.add_get("/{path:.*}", show)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", urlsplit(self.application).port).start()
        try:
            yield
        finally:
            await runner.cleanup()


@contextmanager
def open_site(urls: ServerUrls, worker: str, directory: Path) -> Iterator[Site]:
    """Start everything.

    The provider is there twice: as `company` it is trusted with e-mail addresses and may bring new users, as `club` it
    is neither. Others are added with the client secret of tests.support.oidc_provider under the name it has there.
    """
    port = free_port()
    gateway, application = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{free_port()}"
    provider_secrets = directory / "provider-secrets"
    provider_secrets.mkdir()
    (provider_secrets / _SECRET_NAME).write_text(f"{_CLIENT_SECRET}\n")
    (provider_secrets / oidc_provider.SECRET_NAME).write_text(oidc_provider.CLIENT_SECRET)
    for secret in (_CLIENT_SECRET, oidc_provider.CLIENT_SECRET):
        USED_SECRETS.note(secret)
    settings = {
        "DRAGOMAN_ISSUER": gateway,
        "DRAGOMAN_GATEWAY_PORT": str(port),
        "DRAGOMAN_GATEWAY_DIRECTUS_REDIRECT_ALLOW_LIST": f"{application}/signed-in",
        "DRAGOMAN_GATEWAY_DIRECTUS_CORS_ORIGINS": application,
        "DRAGOMAN_IDENTITY_PROVIDER_SECRETS": str(provider_secrets),
    }
    with (
        node_provider(
            directory / "oidc-provider.log",
            client_id=_CLIENT_ID,
            secret=_CLIENT_SECRET,
            redirect_uris=[f"{gateway}/auth/{door}/{name}/callback" for door in ("oauth", "login") for name in _NAMES],
            accounts=_ACCOUNTS,
        ) as provider,
        new_platform(urls, worker, directory, settings) as platform,
    ):
        site = Site(platform, provider, application)
        asyncio.run(_furnish(site))
        yield site


async def _furnish(site: Site) -> None:
    await start(site.platform)
    client = ("--client-id", _CLIENT_ID, "--secret-name", _SECRET_NAME)
    await site.add_provider("company", site.provider.issuer, *client, "--trust-email", "--allow-new-users")
    await site.add_provider("club", site.provider.issuer, *client)
    for command in (("create", "--email"), ("suspend",)):
        await site.platform.run(program("dragoman"), "user", *command, "suspended@example.com")


@asynccontextmanager
async def newcomer() -> AsyncIterator[Visitor]:
    """Somebody with an empty jar of cookies; it keeps those of 127.0.0.1 too, as browsers do."""
    async with ClientSession(cookie_jar=CookieJar(unsafe=True), timeout=ClientTimeout(20.0)) as http:
        yield Visitor(http)
