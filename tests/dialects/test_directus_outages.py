"""What the `directus` dialect answers while a service is not there."""

import asyncio
import json

import pytest

from tests.dialects.conftest import OpenPlatform
from tests.dialects.exchanges import check_headers
from tests.dialects.running import Answer

pytestmark = pytest.mark.asyncio(loop_scope="module")

BODIES = {
    "/auth/login": {"email": "someone@example.com", "password": "def56789"},
    "/auth/refresh": {"refresh_token": "abc"},
    "/auth/logout": {"refresh_token": "abc"},
    "/auth/password/request": {"email": "someone@example.com"},
    "/auth/password/reset": {"token": f"{'A' * 22}.{'A' * 64}", "password": "a-new-and-long-enough-one"},
}
NEEDS = {
    "token": {"/auth/login", "/auth/refresh", "/auth/logout"},
    "identity": {"/auth/login", "/auth/password/request", "/auth/password/reset"},
    "otp": {"/auth/password/request", "/auth/password/reset"},
    "password": {"/auth/login", "/auth/password/reset"},
}


def told(answer: Answer) -> bool:
    """Whether the answer says in the dialect's way that something is away for now."""
    check_headers(answer)
    expected = {
        "message": "The service is temporarily unavailable.",
        "extensions": {"code": "SERVICE_UNAVAILABLE"},
    }
    return answer.status == 503 and json.loads(answer.text) == {"errors": [expected]}


@pytest.mark.parametrize("missing", NEEDS)
async def test_without_a_service(open_other: OpenPlatform, missing: str) -> None:
    """What needs a service says within a second that it is away, and what does not need it goes on."""
    async with open_other(gateway_directus_login_stall_ms="0") as platform:
        platform.stop(missing)
        for path, body in BODIES.items():
            async with asyncio.timeout(1):
                answer = await platform.send("POST", path, json=body)
            assert told(answer) == (path in NEEDS[missing]), (path, answer.status, answer.text)


async def test_a_browser_stays_signed_in(open_other: OpenPlatform) -> None:
    """While `token` is away cookies stay as they are, and afterwards the same ones work."""
    async with open_other() as platform:
        signed_in = await platform.send("POST", "/auth/login", json=BODIES["/auth/login"] | {"mode": "cookie"})
        cookie = {"Cookie": signed_in.headers["Set-Cookie"].partition(";")[0]}
        platform.stop("token")
        for path in ("/auth/refresh", "/auth/logout"):
            answer = await platform.send("POST", path, headers=cookie)
            assert told(answer)
            assert "Set-Cookie" not in answer.headers
        async with platform.service("token"):
            assert (await platform.send("POST", "/auth/refresh", headers=cookie)).status == 200
