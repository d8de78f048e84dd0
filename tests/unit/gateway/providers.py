"""A browser on its way through an external provider, as the gateway's tests need it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http.cookies import Morsel, SimpleCookie
from typing import Any
from urllib.parse import urlencode

from aiohttp import ClientResponse
from pydantic import SecretStr

from gateway.dialects.directus import Directus
from shared.contracts.providers import BeginProviderSignIn, ListProviders, Provider, ProviderList, ProviderRedirect
from shared.contracts.token import SignedIn, SignInChallenge, SignInWithProvider, TokenSet
from tests.unit.gateway.edge import Edge, open_edge

THERE = "https://accounts.example.com/authorize?state=abc"
PAGE = "https://app.example.com/admin/login?continue"
CHALLENGE = "b2fcf999-2b0b-451d-9888-094a79117aa5"
BACK = {"state": "abc", "code": "the-code"}
TOKENS = TokenSet(
    access_token=SecretStr("access"),
    expires_in=900,
    issued_at=datetime(2026, 1, 1, tzinfo=UTC),
    refresh_token=SecretStr("refresh"),
    refresh_expires_in=604_800,
)
ASKED = SignedIn(
    challenge=SignInChallenge(
        kind="second_factor",
        token=SecretStr(CHALLENGE),
        factor="totp",
        expires_at=datetime(2026, 1, 1, 12, 0, 3, tzinfo=UTC),
    )
)
DOORS = ("oauth", "login")


@asynccontextmanager
async def open_providers() -> AsyncIterator[Edge]:
    """Serve the dialect, with one provider and one page to return to, while inside."""
    async with open_edge(Directus, directus_redirect_allow_list="https://app.example.com/admin") as opened:
        opened.answers[BeginProviderSignIn] = ProviderRedirect(url=SecretStr(THERE))
        opened.answers[ListProviders] = ProviderList(providers=[Provider(name="example", client_id="a", secret="b")])
        opened.answers[SignInWithProvider] = SignedIn(tokens=TOKENS)
        yield opened


async def get(edge: Edge, path: str, cookie: str = "", **query: str) -> ClientResponse:
    """GET as a browser that keeps no cookies of its own."""
    target = f"{path}?{urlencode(query)}" if query else path
    headers = {"Cookie": cookie} if cookie else {}
    edge.client.session.cookie_jar.clear()
    async with edge.client.get(target, allow_redirects=False, headers=headers) as response:
        await response.read()
        return response


def cookies(response: ClientResponse) -> dict[str, Morsel[str]]:
    """What the browser is given, by name."""
    given = SimpleCookie()
    for line in response.headers.getall("Set-Cookie", []):
        given.load(line)
    return dict(given)


async def begun(edge: Edge, door: str = "login", redirect: str = PAGE) -> str:
    """Begin; the cookie that the browser has then."""
    query = {"redirect": redirect} if redirect else {}
    kept = cookies(await get(edge, f"/auth/{door}/example", **query))["oauth2.example"]
    return f"oauth2.example={kept.value}"


async def came_back(edge: Edge, door: str = "login", redirect: str = PAGE, **query: str) -> ClientResponse:
    """Begin, and come back with what the provider gave."""
    cookie = await begun(edge, door, redirect)
    return await get(edge, f"/auth/{door}/example/callback", cookie, **(query or BACK))


def is_taken_back(response: ClientResponse, name: str = "oauth2.example") -> bool:
    """Whether the browser is to forget the cookie."""
    morsel = cookies(response).get(name)
    return morsel is not None and (morsel.value, morsel["max-age"], morsel["path"]) == ("", "0", "/auth")


async def posted(edge: Edge, body: Any, cookie: str = "", origin: str = "") -> tuple[int, str, ClientResponse]:
    """POST to the provider's path; the status, the error's code, and the response."""
    headers = {name: value for name, value in (("Cookie", cookie), ("Origin", origin)) if value}
    async with edge.client.post("/auth/login/example", json=body, headers=headers) as response:
        read = await response.json()
    return response.status, read["errors"][0]["extensions"]["code"] if "errors" in read else "", response
