"""What the `oauth2` dialect answers while a service is not there."""

import asyncio
import json
from contextlib import AsyncExitStack

import pytest

from tests.dialects.conftest import OpenPlatform
from tests.dialects.exchanges import check_headers
from tests.dialects.running import Answer, Platform
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIGN_IN = {
    "client_credentials": {},
    "password": {"username": "someone@example.com", "password": "def56789"},
    "refresh_token": {"refresh_token": "MTI1ZWFkNDBmYjOGVmMGI0YzRjMGMzZGE4MQ"},
}
PATHS = [
    ("POST", "/oauth/v2/token"),
    ("GET", "/.well-known/jwks.json"),
    ("GET", "/.well-known/openid-configuration"),
]


async def grant(platform: Platform, grant_type: str) -> Answer:
    """Ask for a token as abc123."""
    body = {"grant_type": grant_type, "client_id": "abc123", "client_secret": "456789"} | SIGN_IN[grant_type]
    return await platform.send("POST", "/oauth/v2/token", json=body)


def told(answer: Answer) -> bool:
    """Whether the answer says in the dialect's way that something is away for now."""
    check_headers(answer)
    body = json.loads(answer.text)
    return (answer.status, body) == (
        503,
        {"error": "temporarily_unavailable", "error_description": "The service is temporarily unavailable"},
    )


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_without_token(open_other: OpenPlatform, method: str, path: str) -> None:
    """Without `token` everything that needs it says so within a second; the rest goes on."""
    async with open_other(without=frozenset({"token"})) as platform:
        body = {"grant_type": "client_credentials", "client_id": "abc123", "client_secret": "456789"}
        async with asyncio.timeout(1):
            assert told(await platform.send(method, path, json=body if method == "POST" else None))
        assert (await platform.send("GET", "/.well-known/oauth-authorization-server")).status == 200
        assert (await platform.send("POST", "/otp/send")).status == 401


@pytest.mark.parametrize("missing", ["identity", "password"])
async def test_without_identity_or_password(open_other: OpenPlatform, missing: str) -> None:
    """Without `identity` or `password` no user can sign in, and clients still can; it recovers by itself."""
    async with AsyncExitStack() as stack:
        platform = await stack.enter_async_context(open_other())
        assert (await grant(platform, "password")).status == 200
        platform.stop(missing)
        async with asyncio.timeout(1):
            assert told(await grant(platform, "password"))
        assert (await grant(platform, "client_credentials")).status == 200
        assert (await grant(platform, "refresh_token")).status == 400
        await stack.enter_async_context(platform.service(missing))
        assert (await grant(platform, "password")).status == 200


async def test_without_otp(open_other: OpenPlatform) -> None:
    """Without `otp` no code is sent and none is accepted, since that cannot be checked; passwords go on."""
    async with open_other() as platform:
        platform.stop("otp")
        token = (await platform.token("client_credentials"))[1]["access_token"]
        async with asyncio.timeout(1):
            bearer = {"Authorization": f"Bearer {token}"}
            assert told(await platform.send("POST", "/otp/send", json={"email": "a@example.com"}, headers=bearer))
        status, body = await platform.token("password", username="someone@example.com", password="123456")
        assert (status, body["error"]) == (503, "temporarily_unavailable")
        assert (await grant(platform, "password")).status == 200


async def test_keys_are_kept(open_other: OpenPlatform) -> None:
    """The keys once fetched go on being published and verifying while `token` is away."""
    async with open_other() as platform:
        token = (await platform.token("client_credentials"))[1]["access_token"]
        before = await platform.send("GET", "/.well-known/jwks.json")
        platform.stop("token")
        assert told(await grant(platform, "client_credentials"))
        assert (await platform.send("GET", "/.well-known/jwks.json")).text == before.text
        status, _ = await platform.send_code(bearer=token, email="someone@example.com")
        assert status == 200


async def test_introspection_without_token(open_other: OpenPlatform) -> None:
    """While `token` is away clients that it has just proved are told of access tokens for half a minute, others not."""

    async def ask(token: str, client: str = "abc123", secret: str = "456789") -> Answer:
        body = {"client_id": client, "client_secret": secret, "token": token}
        return await platform.send("POST", "/oauth/v2/introspect", json=body)

    async with open_other() as platform:
        tokens = await platform.sign_in("someone@example.com", "def56789")

        async def from_memory() -> Answer | None:
            answer = await ask(tokens["access_token"])
            sample = platform.telemetry.registry.get_sample_value
            return answer if sample("dragoman_introspections_total", {"source": "memory"}) else None

        before = await eventually(from_memory, 5.0, "the feed is heard")
        assert json.loads(before.text)["active"] is True
        platform.stop("token")
        assert (await ask(tokens["access_token"])).text == before.text
        async with asyncio.timeout(1):
            assert told(await ask(tokens["refresh_token"]))
            assert told(await ask(tokens["access_token"], secret="456780"))
            assert told(await ask(tokens["access_token"], "other", "other-secret"))
        platform.clock.advance(30)
        assert told(await ask(tokens["access_token"]))


async def test_broker_away(open_other: OpenPlatform) -> None:
    """While the broker is away everybody is told within a second; it recovers by itself."""
    async with open_other() as platform:
        platform.broker.up = False
        async with asyncio.timeout(1):
            assert told(await grant(platform, "client_credentials"))
        platform.broker.up = True
        assert (await grant(platform, "client_credentials")).status == 200
