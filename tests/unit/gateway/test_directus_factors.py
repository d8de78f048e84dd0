"""The second factor behind an external provider, as the gateway asks for it and takes it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from gateway.dialects.directus import Directus
from shared.contracts.providers import ListProviders, ProviderList
from shared.contracts.token import ContinueSignIn, SignedIn, SignInChallenge, SignInWithProvider
from shared.errors import Error, ErrorCode
from tests.unit.gateway.edge import SOURCE, Edge, open_edge
from tests.unit.gateway.providers import (
    ASKED,
    CHALLENGE,
    DOORS,
    PAGE,
    TOKENS,
    came_back,
    cookies,
    is_taken_back,
    open_providers,
    posted,
)

each_door = pytest.mark.parametrize("door", DOORS)


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    """The dialect, with one provider and one page to return to."""
    async with open_providers() as opened:
        yield opened


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


async def test_codes_are_counted_by_challenge(edge: Edge) -> None:
    """Whoever guesses a factor is stopped whatever addresses the guesses come from; another challenge goes on."""
    limits = "/auth/login/{provider} account=1/60 address=off block=60"
    async with open_edge(Directus, limits=limits) as limited:
        limited.answers.update(edge.answers)
        limited.answers[ContinueSignIn] = Error(ErrorCode.WRONG_CODE, "wrong")
        assert (await posted(limited, {"otp": "123456", "challenge": CHALLENGE}))[0] == 401
        assert (await posted(limited, {"otp": "123456", "challenge": CHALLENGE}))[0] == 429
        assert (await posted(limited, {"otp": "123456", "challenge": "another"}))[0] == 401
