"""Signing in through an external provider, as the gateway does its part of it."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from http.cookies import Morsel, SimpleCookie
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import ClientResponse
from pydantic import SecretStr

from gateway.dialects.directus import Directus
from shared.contracts.providers import BeginProviderSignIn, ListProviders, Provider, ProviderList, ProviderRedirect
from shared.contracts.token import ContinueSignIn, SignedIn, SignInChallenge, SignInWithProvider, TokenSet
from shared.errors import Error, ErrorCode, unavailable
from tests.unit.gateway.edge import SOURCE, Edge, open_edge

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
each_door = pytest.mark.parametrize("door", DOORS)


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    """The dialect, with one provider and one page to return to."""
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


# --- coming back ------------------------------------------------------------------------------------------------------


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


# --- the second factor ------------------------------------------------------------------------------------------------


@each_door
async def test_a_second_factor_is_asked_for(edge: Edge, door: str) -> None:
    """The page is told so, and the challenge waits in a cookie until it ends."""
    edge.answers[SignInWithProvider] = ASKED
    response = await came_back(edge, door)
    assert (response.status, response.headers["Location"]) == (302, f"{PAGE}&reason=INVALID_OTP")
    kept = cookies(response)["oauth2.example.challenge"]
    assert (kept.value, kept["expires"]) == (CHALLENGE, "Thu, 01 Jan 2026 12:00:03 GMT")
    assert (kept["path"], kept["samesite"], kept["httponly"], kept["secure"]) == ("/auth", "Lax", True, True)
    assert is_taken_back(response)


@each_door
async def test_a_client_without_a_page_is_given_the_challenge(edge: Edge, door: str) -> None:
    """It stands beside the code of the error."""
    edge.answers[SignInWithProvider] = ASKED
    response = await came_back(edge, door, redirect="")
    assert response.status == 401
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="Service"'
    error = {"message": '"otp" is required', "extensions": {"code": "INVALID_OTP", "challenge": CHALLENGE}}
    assert await response.json() == {"errors": [error]}
    assert cookies(response)["oauth2.example.challenge"].value == CHALLENGE


async def test_a_challenge_that_cannot_be_met(edge: Edge) -> None:
    """A due new password cannot be given here: the words are those for anybody."""
    due = SignInChallenge(kind="new_password", token=SecretStr(CHALLENGE))
    edge.answers[SignInWithProvider] = SignedIn(challenge=due)
    response = await came_back(edge)
    assert response.headers["Location"] == f"{PAGE}&reason=INVALID_CREDENTIALS"
    assert CHALLENGE not in str(response.headers)


@pytest.mark.parametrize("mode", ["json", "cookie", "session"])
async def test_the_factor_is_proved(edge: Edge, mode: str) -> None:
    """The tokens go where the mode says, and the challenge is over."""
    edge.answers[ContinueSignIn] = SignedIn(tokens=TOKENS)
    cookie = {"Cookie": f"oauth2.example.challenge={CHALLENGE}"}
    body = {"otp": "123456", "mode": mode}
    async with edge.client.post("/auth/login/example", json=body, headers=cookie) as response:
        data = (await response.json())["data"]
    assert response.status == 200
    given = cookies(response)
    assert ("access_token" in data, "refresh_token" in data) == (mode != "session", mode == "json")
    assert ("directus_refresh_token" in given, "directus_session_token" in given) == (mode != "json", mode == "session")
    assert is_taken_back(response, "oauth2.example.challenge")
    call = edge.calls[-1]
    assert call == ContinueSignIn(
        dialect="directus",
        kind="second_factor",
        token=SecretStr(CHALLENGE),
        code=SecretStr("123456"),
        source=SOURCE,
    )


async def posted(edge: Edge, body: Any, cookie: str = "", origin: str = "") -> tuple[int, str, ClientResponse]:
    """POST to the provider's path; the status, the error's code, and the response."""
    headers = {name: value for name, value in (("Cookie", cookie), ("Origin", origin)) if value}
    async with edge.client.post("/auth/login/example", json=body, headers=headers) as response:
        read = await response.json()
    return response.status, read["errors"][0]["extensions"]["code"] if "errors" in read else "", response


async def test_the_bodys_challenge_comes_first(edge: Edge) -> None:
    """A client that names one means that one."""
    edge.answers[ContinueSignIn] = SignedIn(tokens=TOKENS)
    cookie = "oauth2.example.challenge=another"
    status, _, _ = await posted(edge, {"otp": "123456", "challenge": CHALLENGE}, cookie)
    assert status == 200
    call = edge.calls[-1]
    assert isinstance(call, ContinueSignIn)
    assert call.token.get_secret_value() == CHALLENGE


async def test_a_wrong_factor(edge: Edge) -> None:
    """A wrong code may be tried again, a challenge that is over is taken back."""
    cookie = f"oauth2.example.challenge={CHALLENGE}"
    edge.answers[ContinueSignIn] = Error(ErrorCode.WRONG_CODE, "wrong")
    status, code, response = await posted(edge, {"otp": "123456"}, cookie)
    assert (status, code, cookies(response)) == (401, "INVALID_OTP", {})
    edge.answers[ContinueSignIn] = Error(ErrorCode.CHALLENGE_UNKNOWN, "over")
    status, code, response = await posted(edge, {"otp": "123456"}, cookie)
    assert (status, code) == (401, "INVALID_CREDENTIALS")
    assert is_taken_back(response, "oauth2.example.challenge")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, '"otp" is required'),
        ({"otp": 123456}, '"otp" must be a string'),
        ({"otp": "123456"}, '"challenge" is required in either the JSON payload or Cookie'),
        ({"otp": "123456", "challenge": 1}, '"challenge" must be a string'),
        ({"otp": "123456", "mode": "x"}, '"mode" must be one of [json, cookie, session]'),
    ],
)
async def test_bodies_that_cannot_be_meant(edge: Edge, body: Any, message: str) -> None:
    """What is missing is named."""
    status, code, response = await posted(edge, body)
    assert (status, code) == (400, "INVALID_PAYLOAD")
    assert (await response.json())["errors"][0]["message"] == message


async def test_nobody_comes_in_by_a_provider_that_was_removed(edge: Edge) -> None:
    """Its challenges are good for nothing."""
    edge.answers[ListProviders] = ProviderList(providers=[])
    status, code, _ = await posted(edge, {"otp": "123456", "challenge": CHALLENGE})
    assert (status, code) == (404, "ROUTE_NOT_FOUND")
    assert ContinueSignIn not in [type(call) for call in edge.calls]


async def test_pages_of_other_origins_cannot_use_the_cookies(edge: Edge) -> None:
    """Neither the challenge of this browser, nor its place for a session."""
    edge.answers[ContinueSignIn] = SignedIn(tokens=TOKENS)
    evil = "https://evil.example.com"
    status, code, _ = await posted(edge, {"otp": "123456"}, f"oauth2.example.challenge={CHALLENGE}", evil)
    assert (status, code) == (403, "FORBIDDEN")
    body = {"otp": "123456", "challenge": CHALLENGE, "mode": "session"}
    status, code, _ = await posted(edge, body, origin=evil)
    assert (status, code) == (403, "FORBIDDEN")
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
