"""What becomes of a session at the `directus` dialect, and what its tokens open."""

import asyncio
import json
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from typing import Any

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from tests.dialects.conftest import OpenPlatform
from tests.dialects.doors import DIRECTUS, DOORS, Door
from tests.dialects.exchanges import check_headers
from tests.dialects.running import Answer, Platform
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOMEONE = ("someone@example.com", "def56789")
REFRESH = "directus_refresh_token"
SESSION = "directus_session_token"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform(open_other: OpenPlatform) -> AsyncIterator[Platform]:
    """A platform that answers refused logins at once."""
    async with open_other(gateway_directus_login_stall_ms="0") as running:
        yield running


def error_of(answer: Answer) -> tuple[int, str]:
    """The status and the code of a refusal, which has to be in the dialect's style."""
    check_headers(answer)
    (error,) = json.loads(answer.text)["errors"]
    assert error["message"]
    return answer.status, error["extensions"]["code"]


def cookies_of(answer: Answer) -> dict[str, str]:
    """The cookies that an answer sets; those that it removes are empty."""
    jar = SimpleCookie()
    for line in answer.headers.getall("Set-Cookie", []):
        jar.load(line)
    return {name: morsel.value for name, morsel in jar.items()}


async def begun(platform: Platform, mode: str = "json") -> Answer:
    """A new session."""
    email, password = SOMEONE
    answer = await platform.send("POST", "/auth/login", json={"email": email, "password": password, "mode": mode})
    assert answer.status == 200, answer.text
    return answer


async def me(platform: Platform, **request: Any) -> Answer:
    """Who the request's token stands for."""
    return await platform.send("GET", "/users/me", **request)


async def refused_soon(platform: Platform, access_token: str) -> None:
    """Return once the access token is refused as one that was revoked."""

    async def refused() -> bool | None:
        answer = await me(platform, headers={"Authorization": f"Bearer {access_token}"})
        return error_of(answer) == (403, "INVALID_TOKEN") if answer.status != 200 else None

    assert await eventually(refused, 10.0, "the token is refused")


async def test_many_tabs_refresh_at_once(platform: Platform) -> None:
    """Twenty tabs that share the cookie refresh at the same moment, and none of them is signed out."""
    cookie = cookies_of(await begun(platform, "cookie"))[REFRESH]
    answers = await asyncio.gather(
        *(platform.send("POST", "/auth/refresh", headers={"Cookie": f"{REFRESH}={cookie}"}) for _ in range(20))
    )
    assert {answer.status for answer in answers} == {200}
    (successor,) = {cookies_of(answer)[REFRESH] for answer in answers}
    again = await platform.send("POST", "/auth/refresh", headers={"Cookie": f"{REFRESH}={successor}"})
    assert again.status == 200


@pytest.mark.parametrize("mode", ["json", "cookie", "session"])
async def test_signing_out_ends_the_access_token_too(platform: Platform, mode: str) -> None:
    """After signing out nothing of the session is accepted, not even an access token that has not expired."""
    answer = await begun(platform, mode)
    cookies = cookies_of(answer)
    access = cookies.get(SESSION) or json.loads(answer.text)["data"]["access_token"]
    body = {"refresh_token": DIRECTUS.refresh_token(answer)} if mode == "json" else {"mode": mode}
    header = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())} if cookies else {}
    assert (await me(platform, headers={"Authorization": f"Bearer {access}"})).status == 200
    signed_out = await platform.send("POST", "/auth/logout", json=body, headers=header)
    assert signed_out.status == 204
    assert cookies_of(signed_out) == dict.fromkeys(cookies, "")
    await refused_soon(platform, access)


@pytest.mark.parametrize("door", [door for door in DOORS if door is not DIRECTUS], ids=lambda door: door.name)
async def test_other_dialects_sessions_are_not_ended_here(platform: Platform, door: Door) -> None:
    """A refresh token of another dialect neither refreshes nor signs out here, and goes on being good there."""
    email, password = SOMEONE
    token = door.refresh_token(await door.sign_in(platform, email, password))
    refresh = await platform.send("POST", "/auth/refresh", json={"refresh_token": token})
    assert error_of(refresh) == (401, "INVALID_CREDENTIALS")
    assert (await platform.send("POST", "/auth/logout", json={"refresh_token": token})).status == 204
    assert (await door.refresh(platform, email, token)).status == 200


@pytest.mark.parametrize("name", [REFRESH, SESSION])
@pytest.mark.parametrize("value", ["\xff\xfe", "a,b", '"', "=", "x" * 5000])
async def test_odd_cookies(platform: Platform, name: str, value: str) -> None:
    """A cookie that nobody was given is one that is wrong, or none at all."""
    cookie = {"Cookie": f"{name}={value}"}
    for method, path in (("POST", "/auth/refresh"), ("GET", "/users/me"), ("POST", "/users/me/tfa/disable")):
        status, _ = error_of(await platform.send(method, path, headers=cookie))
        assert status in {400, 401, 403}
    assert (await platform.send("POST", "/auth/logout", headers=cookie)).status in {204, 400}


@pytest.mark.parametrize("token", ["\xff\xfe", "ab", "a.b.c", "x" * 5000, "eyJhbGciOiJub25lIn0.e30."])
async def test_odd_access_tokens(platform: Platform, token: str) -> None:
    """Text that is no access token is refused, wherever it is."""
    asked = [
        {"headers": {"Authorization": f"Bearer {token}"}},
        {"params": {"access_token": token}},
    ]
    for request in asked:
        assert error_of(await me(platform, **request)) == (403, "INVALID_TOKEN")


async def test_several_authorization_headers(platform: Platform) -> None:
    """Where two headers could be meant none is."""
    access = DIRECTUS.access(await begun(platform))
    headers = [("Authorization", f"Bearer {access}"), ("Authorization", "Basic eDp5")]
    assert error_of(await me(platform, headers=headers)) == (403, "INVALID_TOKEN")


async def test_a_header_wins_over_the_session_cookie(platform: Platform) -> None:
    """What a client sends on purpose counts more than what its browser sends along."""
    cookie = cookies_of(await begun(platform, "session"))[SESSION]
    headers = {"Cookie": f"{SESSION}={cookie}", "Authorization": "Bearer forged"}
    assert error_of(await me(platform, headers=headers)) == (403, "INVALID_TOKEN")


async def test_pages_of_other_origins_change_nothing(platform: Platform) -> None:
    """A page that nobody has listed can neither sign a browser out nor change a second factor by its cookies."""
    cookies = cookies_of(await begun(platform, "session"))
    headers = {
        "Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()),
        "Origin": "https://evil.example.com",
    }
    bodies: dict[str, dict[str, str]] = {
        "/auth/logout": {},
        "/auth/refresh": {},
        "/users/me/tfa/generate": {"password": SOMEONE[1]},
        "/users/me/tfa/enable": {"secret": "JBSWY3DPEHPK3PXP", "otp": "123456"},
        "/users/me/tfa/disable": {"otp": "123456"},
    }
    # The last is a page of this very host that came over plain HTTP, which nobody serves there.
    for origin in ("https://evil.example.com", "null", "http://", f"{platform.url}.evil.example.com", platform.url):
        for path, body in bodies.items():
            answer = await platform.send("POST", path, json=body, headers=headers | {"Origin": origin})
            assert error_of(answer) == (403, "FORBIDDEN"), (origin, path)
            assert cookies_of(answer) == {}
    own = headers | {"Origin": platform.url.replace("http:", "https:")}
    assert (await platform.send("POST", "/auth/logout", headers=own)).status == 204


async def test_tokens_in_queries_are_not_logged(platform: Platform) -> None:
    """What is behind the question mark shows in no line of the log."""
    access = DIRECTUS.access(await begun(platform))
    with capture_logs() as logs:
        assert (await me(platform, params={"access_token": access})).status == 200
        await platform.send("GET", f"/users/nowhere?access_token={access}")
        await me(platform, params=[("access_token", access), ("access_token", access)])
    assert len([line for line in logs if line["event"] == "request"]) == 3
    assert access not in str(logs)
