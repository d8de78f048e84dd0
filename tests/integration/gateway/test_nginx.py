"""The example configuration in a real nginx: who gets to the service behind it, and what the service learns."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from multidict import CIMultiDict
from yarl import URL

from deploy.servers.places import free_port
from tests.dialects.running import DEADLINE_SECONDS, Platform
from tests.integration.gateway.conftest import running_nginx
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORGED = {"X-Auth-Subject": "admin", "X-Auth-Scope": "admin", "x-auth-client": "c", "X-Auth-Session": "s"}
LOOKALIKES = {"X_Auth_Subject": "admin", "X-Auth_Subject": "admin"}


@dataclass(frozen=True)
class Answer:
    """What the client got, and what the service did: None where the request never came to it."""

    status: int
    headers: Any
    service_path: str | None
    service_headers: CIMultiDict[str] | None

    def identity(self) -> dict[str, str]:
        """The X-Auth headers at the service, however they are written."""
        assert self.service_headers is not None
        return {
            name.lower(): value
            for name, value in self.service_headers.items()
            if name.lower().replace("_", "-").startswith("x-auth-")
        }


async def ask(address: str, path: str, method: str = "GET", token: str = "", **arguments: Any) -> Answer:
    """One request through nginx, its path as it is."""
    headers = CIMultiDict(arguments.pop("headers", {}))
    if token:
        headers["Authorization"] = f"Bearer {token}"
    url = URL(address + path, encoded=True)
    async with (
        ClientSession() as http,
        http.request(method, url, headers=headers, allow_redirects=False, **arguments) as answer,
    ):
        if answer.content_type != "application/json":
            return Answer(answer.status, answer.headers, None, None)
        got = await answer.json()
        return Answer(answer.status, answer.headers, got["path"], CIMultiDict(map(tuple, got["headers"])))


async def user_token(platform: Platform, **fields: Any) -> str:
    """The access token of a user who signs in."""
    token: str = (await platform.sign_in("someone@example.com", "def56789", **fields))["access_token"]
    return token


async def test_no_token(proxy: str) -> None:
    """Without a token nginx answers 401 with the gateway's challenge, and the service hears nothing."""
    answer = await ask(proxy, "/orders")
    assert (answer.status, answer.service_path) == (401, None)
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="Service"'


async def test_forged_token(proxy: str, platform: Platform) -> None:
    """A token with a changed signature is refused as invalid."""
    head, _, signature = (await user_token(platform)).rpartition(".")
    answer = await ask(proxy, "/orders", token=f"{head}.{'A' * len(signature)}")
    assert (answer.status, answer.service_path) == (401, None)
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS"])
async def test_token(proxy: str, platform: Platform, method: str) -> None:
    """With a good token the request arrives as it was sent, and the service learns whose it is, and only by nginx."""
    token = await user_token(platform, scope="read")
    answer = await ask(
        proxy, "/orders/%C3%A9?page=2&q=%2F", method, token, headers=FORGED | LOOKALIKES, data=b"x" * 200_000
    )
    assert (answer.status, answer.service_path) == (200, "/orders/%C3%A9?page=2&q=%2F")
    users = await platform.rows("SELECT id::text FROM identity.users WHERE email = 'someone@example.com'")
    identity = answer.identity()
    assert identity.pop("x-auth-session")
    assert identity == {"x-auth-subject": users[0][0], "x-auth-scope": "read", "x-auth-client": "abc123"}


async def test_token_of_a_client(proxy: str, platform: Platform) -> None:
    """A client's own token for another audience passes where that is set; no session is named, nor a forged one."""
    _, tokens = await platform.token("client_credentials", client_id="machine", client_secret="machine-secret")
    answer = await ask(proxy, "/orders", token=tokens["access_token"], headers=FORGED)
    assert answer.status == 200
    assert answer.identity() == {"x-auth-subject": "machine", "x-auth-client": "machine"}


async def test_public(proxy: str, platform: Platform) -> None:
    """A public path needs no token; a forged identity does not arrive, a real one does."""
    answer = await ask(proxy, "/public/page", headers=FORGED | LOOKALIKES)
    assert (answer.status, answer.identity()) == (200, {})
    answer = await ask(proxy, "/public/page", token="expired.or.broken", headers=FORGED)
    assert (answer.status, answer.identity()) == (200, {})
    answer = await ask(proxy, "/public/page", token=await user_token(platform))
    assert answer.identity()["x-auth-client"] == "abc123"


async def test_scope(proxy: str, platform: Platform) -> None:
    """Without the scope that a rule asks for nginx answers 403 and says which; with it the request arrives."""
    token = await user_token(platform, scope="read")
    answer = await ask(proxy, "/admin/users", token=token)
    assert (answer.status, answer.service_path) == (403, None)
    challenge = 'Bearer realm="Service", error="insufficient_scope", scope="admin"'
    assert answer.headers["WWW-Authenticate"] == challenge
    assert (await ask(proxy, "/orders/7", "DELETE", token)).status == 403
    assert (await ask(proxy, "/orders/7", "DELETE", await user_token(platform, scope="write"))).status == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/public/../admin", 403),
        ("/public/%2e%2e/admin", 403),
        ("/public/..%2fadmin", 403),
        ("/public/..%5cadmin", 403),
        ("/public/%252e%252e/admin", 403),
        ("/public/..;/admin", 403),
        ("//public/admin", 403),
        ("/admin?/public/", 401),
        ("/PUBLIC", 200),
        ("/ADMIN", 401),
        ("/_forward_auth", 404),
    ],
)
async def test_tricks_with_paths(proxy: str, path: str, status: int) -> None:
    """No way to write a private path makes it public, and nobody asks the gateway in nginx's place."""
    answer = await ask(proxy, path)
    assert answer.status == status
    assert (answer.service_path is not None) == (status == 200)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Original-URI": "/public/page", "X-Original-Method": "GET"},
        {"X-Forwarded-Uri": "/public/page", "X-Forwarded-Method": "GET"},
    ],
)
async def test_tricks_with_headers(proxy: str, headers: dict[str, str]) -> None:
    """What a client says about the request it makes changes nothing."""
    answer = await ask(proxy, "/admin", headers=headers)
    assert (answer.status, answer.service_path) == (401, None)


async def test_the_services_own_refusal(proxy: str, platform: Platform) -> None:
    """What the service itself answers comes back as it is, also a 403."""
    answer = await ask(proxy, "/broken", token=await user_token(platform))
    assert (answer.status, answer.service_path) == (403, "/broken")
    assert "WWW-Authenticate" not in answer.headers


async def test_revoked(proxy: str, platform: Platform) -> None:
    """A token that worked is refused once it is revoked."""
    token = await user_token(platform)
    assert (await ask(proxy, "/orders", token=token)).status == 200
    body = {"token": token, "client_id": "abc123", "client_secret": "456789"}
    assert (await platform.send("POST", "/oauth/v2/revoke", json=body)).status == 200

    async def refused() -> bool | None:
        return (await ask(proxy, "/orders", token=token)).status == 401 or None

    await eventually(refused, DEADLINE_SECONDS, "the revoked token is refused")


async def test_gateway_away(nginx: str, service: int, tmp_path: Path, platform: Platform) -> None:
    """Without the gateway nobody passes, not even to public paths: 503, and when to come again."""
    token = await user_token(platform)
    async with running_nginx(nginx, tmp_path, gateway=free_port(), service=service) as address:
        for path, proof in (("/orders", token), ("/orders", ""), ("/public/page", "")):
            async with asyncio.timeout(5):
                answer = await ask(address, path, token=proof)
            assert (answer.status, answer.headers["Retry-After"], answer.service_path) == (503, "1", None)


async def test_gateway_cannot_tell(nginx: str, service: int, tmp_path: Path) -> None:
    """When the gateway cannot judge a token now, nobody passes: 503."""

    async def cannot_tell(_request: web.Request) -> web.Response:
        return web.Response(status=503, headers={"Retry-After": "1"})

    app = web.Application()
    app.router.add_get("/forward-auth", cannot_tell)
    async with TestServer(app) as gateway:
        assert gateway.port is not None
        async with running_nginx(nginx, tmp_path, gateway=gateway.port, service=service) as address:
            answer = await ask(address, "/orders", token="any")
    assert (answer.status, answer.headers["Retry-After"], answer.service_path) == (503, "1", None)
