"""Beginning to sign in through an external provider, as the gateway does its part of it."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from gateway.dialects.directus import Directus
from shared.contracts.providers import BeginProviderSignIn, ListProviders, Provider, ProviderList, ProviderRedirect
from shared.errors import Error, ErrorCode, unavailable
from tests.unit.gateway.edge import Edge, open_edge
from tests.unit.gateway.providers import DOORS, PAGE, THERE, begun, cookies, get, open_providers

each_door = pytest.mark.parametrize("door", DOORS)


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    """The dialect, with one provider and one page to return to."""
    async with open_providers() as opened:
        yield opened


# --- beginning --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/auth/oauth/example", "/auth/oauth?provider=example", "/auth/login/example"])
async def test_the_browser_goes_to_the_provider(edge: Edge, path: str) -> None:
    """It is sent there with a secret of its own in a cookie that no script reads and no other path sees."""
    response = await get(edge, path)
    assert (response.status, response.headers["Location"]) == (302, THERE)
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Cache-Control"] == "no-store"
    kept = cookies(response)["oauth2.example"]
    assert (kept["max-age"], kept["path"], kept["samesite"], kept["domain"]) == ("300", "/auth", "Lax", "")
    assert kept["httponly"] is True
    assert kept["secure"] is True
    [call] = edge.calls
    assert isinstance(call, BeginProviderSignIn)
    door = "oauth" if "oauth" in path else "login"
    assert call.callback_url == f"https://id.example.com/auth/{door}/example/callback"
    assert (call.provider, call.dialect, len(call.browser.get_secret_value())) == ("example", "directus", 43)


async def test_the_way_back_is_the_platforms_own(edge: Edge) -> None:
    """Whatever a request calls the host, the provider is given the platform's URL."""
    headers = {"Host": "evil.example.com", "X-Forwarded-Host": "evil.example.com"}
    async with edge.client.get("/auth/oauth/example", allow_redirects=False, headers=headers) as response:
        assert response.status == 302
    [call] = edge.calls
    assert isinstance(call, BeginProviderSignIn)
    assert call.callback_url == "https://id.example.com/auth/oauth/example/callback"


async def test_each_browser_has_a_secret_of_its_own(edge: Edge) -> None:
    """Two beginnings have nothing in common."""
    assert await begun(edge) != await begun(edge)


@each_door
@pytest.mark.parametrize("redirect", ["https://evil.example.com/admin", "/admin", "javascript:alert(1)", "x" * 2000])
async def test_no_other_page_is_returned_to(edge: Edge, door: str, redirect: str) -> None:
    """A page that nobody has listed is refused before anybody is asked, and is not repeated."""
    response = await get(edge, f"/auth/{door}/example", redirect=redirect)
    body = await response.json()
    assert (response.status, body["errors"][0]["extensions"]["code"]) == (400, "INVALID_PAYLOAD")
    assert redirect not in await response.text()
    assert edge.calls == []


@pytest.mark.parametrize("path", ["/auth/oauth/nobody", "/auth/oauth?provider=nobody", "/auth/login/nobody"])
async def test_an_unknown_provider(edge: Edge, path: str) -> None:
    """There is no such path, also for whoever has named a page to return to."""
    edge.answers[BeginProviderSignIn] = Error(ErrorCode.NOT_FOUND, "no such provider")
    page = {} if "?" in path else {"redirect": PAGE}
    response = await get(edge, path, **page)
    body = await response.json()
    assert (response.status, body["errors"][0]["extensions"]["code"]) == (404, "ROUTE_NOT_FOUND")
    assert cookies(response) == {}


@each_door
async def test_a_provider_that_is_away(edge: Edge, door: str) -> None:
    """The page is told, and without one the client."""
    edge.answers[BeginProviderSignIn] = unavailable("it does not answer")
    response = await get(edge, f"/auth/{door}/example", redirect=PAGE)
    assert (response.status, response.headers["Location"]) == (302, f"{PAGE}&reason=SERVICE_UNAVAILABLE")
    assert (await get(edge, f"/auth/{door}/example")).status == 503


@pytest.mark.parametrize("query", ["redirect=a&redirect=b", "provider=a&provider=b", "redirect=%00"])
async def test_parameters_that_cannot_be_read(edge: Edge, query: str) -> None:
    """One that is repeated, or is no text, is refused."""
    response = await get(edge, f"/auth/oauth?{query}" if "provider" in query else f"/auth/oauth/example?{query}")
    assert response.status == 400
    assert edge.calls == []


# --- what there is ----------------------------------------------------------------------------------------------------


async def test_the_lists(edge: Edge) -> None:
    """Clients of each age are told which providers there are, and no secret of any."""
    edge.answers[ListProviders] = ProviderList(
        providers=[
            Provider(name="example", client_id="a", secret="b"),
            Provider(name="github", kind="github", label="GitHub", icon="github", client_id="a", secret="b"),
        ]
    )
    new = await get(edge, "/auth")
    assert await new.json() == {
        "data": [
            {"name": "example", "label": "example", "driver": "openid", "icon": None},
            {"name": "github", "label": "GitHub", "driver": "oauth2", "icon": "github"},
        ],
        "disableDefault": False,
    }
    assert await (await get(edge, "/auth/oauth")).json() == {"data": ["example", "github"]}
    edge.answers[ListProviders] = ProviderList(providers=[])
    assert await (await get(edge, "/auth/oauth")).json() == {"data": []}


@pytest.mark.parametrize(
    "path",
    ["/auth/oauth/a.b", "/auth/oauth/A", "/auth/login/a%2Fb", "/auth/login/example/callback/", "/auth/oauth/"],
)
async def test_paths_that_are_like_one(edge: Edge, path: str) -> None:
    """A name that none can have is no path."""
    assert (await get(edge, path)).status == 404
    assert edge.calls == []


# --- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("/auth", "/auth"),
        ("/auth/oauth", "/auth/oauth"),
        ("/auth/oauth/example", "/auth/oauth/{provider}"),
        ("/auth/oauth/example/callback", "/auth/oauth/{provider}/callback"),
        ("/auth/login/example", "/auth/login/{provider}"),
        ("/auth/login/example/callback", "/auth/login/{provider}/callback"),
    ],
)
async def test_each_path_is_counted(path: str, rule: str) -> None:
    """Too many from one address are refused as such, and not sent on to any page."""
    limits = f"{rule} address=1/60 block=60"
    async with open_edge(Directus, limits=limits, directus_redirect_allow_list="https://app.example.com") as edge:
        edge.answers[BeginProviderSignIn] = ProviderRedirect(url=SecretStr(THERE))
        edge.answers[ListProviders] = ProviderList(providers=[])
        assert (await get(edge, path)).status in {200, 302, 401}
        refused = await get(edge, path, redirect=PAGE)
        assert (refused.status, refused.headers["Retry-After"]) == (429, "60")
        assert "Location" not in refused.headers
