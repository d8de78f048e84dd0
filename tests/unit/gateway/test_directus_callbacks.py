"""Coming back from an external provider, as the gateway does its part of it."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from gateway.dialects.directus import Directus
from shared.contracts.providers import BeginProviderSignIn, ProviderRedirect
from shared.contracts.token import SignInWithProvider
from shared.errors import Error, ErrorCode, unavailable
from tests.unit.gateway.edge import SOURCE, Edge, open_edge
from tests.unit.gateway.providers import (
    BACK,
    DOORS,
    PAGE,
    THERE,
    begun,
    came_back,
    cookies,
    get,
    is_taken_back,
    open_providers,
)

each_door = pytest.mark.parametrize("door", DOORS)


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    """The dialect, with one provider and one page to return to."""
    async with open_providers() as opened:
        yield opened


@each_door
async def test_back_to_the_page(edge: Edge, door: str) -> None:
    """Whoever named a page is there again, with the refresh token in a cookie and nothing in the URL."""
    response = await came_back(edge, door)
    assert (response.status, response.headers["Location"]) == (302, PAGE)
    given = cookies(response)
    assert given["directus_refresh_token"].value == "refresh"
    assert "directus_session_token" not in given
    assert is_taken_back(response)


@each_door
async def test_without_a_page(edge: Edge, door: str) -> None:
    """The tokens are in the body then."""
    response = await came_back(edge, door, redirect="")
    assert response.status == 200
    assert await response.json() == {"data": {"access_token": "access", "expires": 900_000, "refresh_token": "refresh"}}
    assert "directus_refresh_token" not in cookies(response)
    assert is_taken_back(response)


@each_door
async def test_what_is_handed_on(edge: Edge, door: str) -> None:
    """What the provider gave and this browser's secret go on together, and where it came from."""
    cookie = await begun(edge, door)
    await get(edge, f"/auth/{door}/example/callback", cookie, **BACK, iss="https://accounts.example.com")
    beginning, call = edge.calls
    assert isinstance(beginning, BeginProviderSignIn)
    assert call == SignInWithProvider(
        dialect="directus",
        provider="example",
        state=SecretStr("abc"),
        browser=beginning.browser,
        code=SecretStr("the-code"),
        issuer="https://accounts.example.com",
        source=SOURCE,
    )


@each_door
@pytest.mark.parametrize(
    "cookie",
    [
        "",
        "oauth2.example=",
        "oauth2.example=not-base64!",
        "oauth2.example=e30",
        "oauth2.other=eyJicm93c2VyIjoiIn0",
    ],
)
async def test_another_browser(edge: Edge, door: str, cookie: str) -> None:
    """A link that this browser has not begun signs nobody in, and asks nobody anything."""
    response = await get(edge, f"/auth/{door}/example/callback", cookie, **BACK)
    body = await response.json()
    assert (response.status, body["errors"][0]["extensions"]["code"]) == (401, "INVALID_CREDENTIALS")
    assert edge.calls == []


async def test_the_page_is_looked_up_again(edge: Edge) -> None:
    """A cookie that names another page, whoever has put it there, leads nowhere."""
    async with open_edge(Directus, directus_redirect_allow_list="https://evil.example.com") as other:
        other.answers[BeginProviderSignIn] = ProviderRedirect(url=SecretStr(THERE))
        cookie = await begun(other, redirect="https://evil.example.com/")
    response = await get(edge, "/auth/login/example/callback", cookie, **BACK)
    assert (response.status, "Location" in response.headers) == (401, False)
    assert edge.calls == []
    assert is_taken_back(response)


REASONS: list[tuple[Error, str, str]] = [
    (Error(ErrorCode.WRONG_PASSWORD, "the state is spent"), "INVALID_USER", "INVALID_CREDENTIALS"),
    (Error(ErrorCode.NO_SUCH_USER, "not verified"), "INVALID_USER", "INVALID_CREDENTIALS"),
    (Error(ErrorCode.USER_SUSPENDED, "suspended"), "INVALID_USER", "INVALID_CREDENTIALS"),
    (Error(ErrorCode.PASSWORD_CHANGE_REQUIRED, "due"), "INVALID_USER", "INVALID_CREDENTIALS"),
    (unavailable("away"), "SERVICE_UNAVAILABLE", "SERVICE_UNAVAILABLE"),
    (Error(ErrorCode.OVERLOADED, "too many at once"), "SERVICE_UNAVAILABLE", "SERVICE_UNAVAILABLE"),
    (Error(ErrorCode.DEADLINE_EXCEEDED, "too late"), "SERVICE_UNAVAILABLE", "SERVICE_UNAVAILABLE"),
    (Error(ErrorCode.INTERNAL, "our mistake"), "UNKNOWN_EXCEPTION", "INTERNAL_SERVER_ERROR"),
]


@pytest.mark.parametrize(("error", "old", "new"), REASONS, ids=[error.code for error, _, _ in REASONS])
async def test_reasons(edge: Edge, error: Error, old: str, new: str) -> None:
    """The page is told why in the words of its API, and without one the client; what was begun is over."""
    edge.answers[SignInWithProvider] = error
    for door, reason in zip(DOORS, (old, new), strict=True):
        response = await came_back(edge, door)
        assert (response.status, response.headers["Location"]) == (302, f"{PAGE}&reason={reason}")
        assert is_taken_back(response)
        assert "directus_refresh_token" not in cookies(response)
        shown = await came_back(edge, door, redirect="")
        assert (await shown.json())["errors"][0]["extensions"]["code"] == new
        assert is_taken_back(shown)


@pytest.mark.parametrize(
    ("brought", "reason"),
    [
        ({"error": "access_denied", "state": "abc"}, "INVALID_CREDENTIALS"),
        ({"error": "invalid_scope", "state": "abc"}, "INVALID_CREDENTIALS"),
        ({"error": "temporarily_unavailable", "state": "abc"}, "SERVICE_UNAVAILABLE"),
        ({"error": "server_error", "state": "abc", "code": "x"}, "SERVICE_UNAVAILABLE"),
        ({"code": "x"}, "INVALID_CREDENTIALS"),
        ({"state": "abc"}, "INVALID_CREDENTIALS"),
        ({"state": "abc", "code": ""}, "INVALID_CREDENTIALS"),
        ({"state": "abc", "code": "x\x00"}, "INVALID_PAYLOAD"),
    ],
)
async def test_what_the_provider_refuses(edge: Edge, brought: dict[str, str], reason: str) -> None:
    """Without a code nobody is asked, and the page is told."""
    response = await came_back(edge, **brought)
    assert (response.status, response.headers["Location"]) == (302, f"{PAGE}&reason={reason}")
    assert [type(call) for call in edge.calls] == [BeginProviderSignIn]
    assert is_taken_back(response)
