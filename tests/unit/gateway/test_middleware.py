"""Around every request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.addresses import Addresses
from gateway.body import BodyError
from gateway.cors import CorsPolicy
from gateway.middleware import add_headers, around_requests, dialect_of, part_when
from shared.entropy import SystemEntropy
from shared.errors import Error, unavailable
from shared.telemetry import Health, Telemetry


@dataclass(frozen=True)
class Spoken:
    """A dialect that says what it was asked to say."""

    name: str
    prefixes: Sequence[str]
    cors: CorsPolicy | None = None

    def routes(self) -> list[web.RouteDef]:
        """None: the tests bring their own handlers."""
        return []

    def refuse(self, error: Error, request: web.Request) -> web.Response:
        """Say the code."""
        return web.Response(text=f"{self.name} {error.code}", status=503)

    def fail(self, status: int, reason: str, headers: Mapping[str, str], request: web.Request) -> web.Response:
        """Say the reason."""
        return web.Response(text=f"{self.name} {reason}", status=status, headers=headers)


ANYBODY = CorsPolicy(origins=None, methods=("GET", "POST", "OPTIONS", "HEAD"))
FIRST, SECOND = Spoken("first", ("/oauth", "/otp")), Spoken("second", ("/api/v2",))


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("/oauth", FIRST),
        ("/oauth/v2/token", FIRST),
        ("/api/v2", SECOND),
        ("/api/v2/signin", SECOND),
        ("/api/v2x", FIRST),
        ("/api/v2/", SECOND),
        ("/API/v2/signin", SECOND),
        ("//api/v2", SECOND),
        ("/api", FIRST),
        ("/api//v2", FIRST),
        ("/api/v2%2Fsignin", FIRST),
        ("/", FIRST),
        ("", FIRST),
        ("*", FIRST),
    ],
)
def test_dialect_of(path: str, dialect: Spoken) -> None:
    """A path belongs to the dialect with its first segments, whole ones in any case, and else to the first dialect."""
    assert dialect_of(path, [FIRST, SECOND]) is dialect


async def _crash(_request: web.Request) -> web.Response:
    raise RuntimeError("a secret that nobody should read")


async def _refuse(_request: web.Request) -> web.Response:
    raise unavailable("the database is gone")


async def _misread(_request: web.Request) -> web.Response:
    raise BodyError(413, "too large")


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/otp/crash", 500, "first Something went wrong on our side"),
        ("GET", "/api/v2/crash", 500, "second Something went wrong on our side"),
        ("GET", "/api/v2/refuse", 503, "second unavailable"),
        ("GET", "/api/v2/misread", 413, "second too large"),
        ("GET", "/api/v2/nothing", 404, "second There is nothing at this path"),
        ("PUT", "/api/v2/crash", 405, "second This path does not take that method"),
    ],
)
async def test_failures(method: str, path: str, status: int, text: str) -> None:
    """Whatever fails is told in the dialect of the path, with a request id, and without its cause."""
    async with _client(FIRST, SECOND) as client, client.request(method, path) as response:
        assert (response.status, await response.text()) == (status, text)
        assert response.headers["X-Request-Id"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers.get("Allow") == ("GET,HEAD" if status == 405 else None)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("OPTIONS", "/api/v2/refuse", 204),
        ("GET", "/api/v2/refuse", 503),
        ("PUT", "/api/v2/refuse", 405),
        ("GET", "/api/v2/misread", 413),
        ("GET", "/api/v2/crash", 500),
        ("GET", "/api/v2/nothing", 404),
        ("OPTIONS", "/api/v2/nothing", 404),
    ],
)
async def test_pages_of_other_origins(method: str, path: str, status: int) -> None:
    """A dialect with a policy answers preflights to its paths, and lets pages read every answer, errors too."""
    async with _client(FIRST, Spoken("second", ("/api/v2",), ANYBODY)) as client:
        asked = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"}
        async with client.request(method, path, headers=asked) as response:
            assert response.status == status
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert ("Access-Control-Max-Age" in response.headers) == (status == 204)
            assert response.headers["X-Request-Id"]


async def test_pages_without_policy() -> None:
    """A dialect without a policy answers no preflight, and gives no page anything to read."""
    page = {"Origin": "https://app.example.com"}
    async with _client(FIRST, SECOND) as client, client.options("/otp/crash", headers=page) as response:
        assert response.status == 405
        assert not [name for name in response.headers if name.startswith("Access-Control")]


def _client(*dialects: Spoken) -> TestClient[web.Request, web.Application]:
    around = around_requests(dialects, Addresses(()), Telemetry("gateway"), SystemEntropy(), 5.0)
    app = web.Application(middlewares=[around])
    app.on_response_prepare.append(add_headers)
    for prefix in ("/otp", "/api/v2"):
        app.router.add_get(f"{prefix}/crash", _crash)
        app.router.add_get(f"{prefix}/refuse", _refuse)
        app.router.add_get(f"{prefix}/misread", _misread)
    return TestClient(TestServer(app))


async def test_a_replica_that_is_told_to_stop_parts_from_its_clients() -> None:
    """Whoever keeps a connection open is told with the last answer that it ends here, and comes back to another."""
    health = Health()
    app = web.Application()
    app.on_response_prepare.append(part_when(lambda: health.stopping))
    app.router.add_get("/", _say_hello)
    async with TestClient(TestServer(app)) as client:
        connections = []
        for told in (False, True):
            health.stopping = told
            async with client.get("/") as answer:
                connections.append(answer.headers.get("Connection"))
                assert await answer.text() == "hello"
    assert connections == [None, "close"]


async def _say_hello(_request: web.Request) -> web.Response:
    return web.Response(text="hello")
