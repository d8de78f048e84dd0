"""Requests that are no HTTP, or too much of it: what the sender and the log get to see of them."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from gateway.app import build_app, build_runner
from gateway.settings import GatewaySettings
from shared.bus.memory import MemoryBroker
from shared.telemetry import Telemetry
from shared.testing import MemoryKit
from tests.unit.gateway.edge import ENVIRONMENT
from tests.unit.shared.test_telemetry import lines, production_log

SECRET = b"AUGSc2VjcmV0"
GET = b"GET /users/me HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /auth/refresh HTTP/1.1\r\nHost: a\r\n"
MUCH = b"a" * 17_000
DEADLINE_SECONDS = 10.0

UNREADABLE = {
    "a long cookie": (431, GET + b"Cookie: directus_refresh_token=" + SECRET + b"; other=" + MUCH + b"\r\n\r\n"),
    "a long token": (431, GET + b"Authorization: Bearer " + SECRET + MUCH + b"\r\n\r\n"),
    "a long name": (431, GET + SECRET + MUCH + b": a\r\n\r\n"),
    "a long URL": (414, b"GET /users/me?access_token=" + SECRET + MUCH + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
    "a space in the URL": (400, b"GET /users/me?access_token=" + SECRET + b" x HTTP/1.1\r\nHost: a\r\n\r\n"),
    "NUL in the URL": (400, b"GET /users/me?access_token=" + SECRET + b"\x00 HTTP/1.1\r\nHost: a\r\n\r\n"),
    "another protocol": (400, b"GET /users/me?access_token=" + SECRET + b" SPDY/1\r\nHost: a\r\n\r\n"),
    "a host that is none": (400, b"GET http://[" + SECRET + b"/users/me HTTP/1.1\r\nHost: a\r\n\r\n"),
    "NUL in a header": (400, GET + b"Authorization: Bearer " + SECRET + b"\x00\r\n\r\n"),
    "a header without a colon": (400, GET + SECRET + b"\r\n\r\n"),
    "a header twice": (400, GET + b"Content-Type: " + SECRET + b"\r\nContent-Type: " + SECRET + b"\r\n\r\n"),
    "many headers": (400, GET + b"X: " + SECRET + b"\r\n" + b"X: a\r\n" * 200 + b"\r\n"),
    "a length that is none": (400, POST + b"Content-Length: " + SECRET + b"\r\n\r\n"),
    "length and chunks": (400, POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\nX: " + SECRET + b"\r\n\r\n"),
    "an unknown method": (400, SECRET + b" /users/me HTTP/1.1\r\nHost: a\r\n\r\n"),
    "TLS": (400, b"\x16\x03\x01\x02\x00" + SECRET + b"\r\n\r\n"),
}
each_unreadable = pytest.mark.parametrize(("status", "sent"), UNREADABLE.values(), ids=list(UNREADABLE))


@asynccontextmanager
async def open_gateway(telemetry: Telemetry, **changed: str) -> AsyncIterator[int]:
    """Serve the gateway while inside, with no service behind it; yields its port."""
    given = {f"DRAGOMAN_GATEWAY_{name.upper()}": value for name, value in changed.items()}
    settings = GatewaySettings.load(ENVIRONMENT | {"DRAGOMAN_DRAIN_SECONDS": "1"} | given)
    kit = MemoryKit(telemetry, broker=MemoryBroker())
    async with kit.bus(settings) as bus:
        runner = build_runner(build_app(settings, bus, kit), settings)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield runner.addresses[0][1]
        finally:
            await runner.cleanup()


async def answers(port: int, sent: bytes) -> list[tuple[int, dict[str, str], str]]:
    """All that comes back until the gateway ends the connection: status, headers in lower case, and body."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(sent)
            received = (await reader.read()).decode()
        finally:
            writer.close()
    found = []
    for part in received.split("HTTP/1.1 ")[1:]:
        head, _, body = part.partition("\r\n\r\n")
        start, *fields = head.split("\r\n")
        found.append((int(start[:3]), {n.lower(): v for n, _, v in (f.partition(": ") for f in fields)}, body))
    return found


@each_unreadable
async def test_nobody_reads_what_could_not_be_read(
    status: int, sent: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither the answer, which scripts can read, nor the log repeats what may be a cookie or a token."""
    telemetry = Telemetry("gateway")
    with production_log():
        async with open_gateway(telemetry) as port:
            [(answered, headers, body)] = await answers(port, sent)
    logged = lines(capsys)
    assert answered == status
    for seen in (body, str(headers), str(logged)):
        assert SECRET.decode() not in seen
        assert "aaaa" not in seen
    [line] = [line for line in logged if line["event"] == "request"]
    assert (line["status"], line["client"], line["level"]) == (status, "127.0.0.1", "info")
    assert line["request_id"] == headers["x-request-id"]
    assert re.fullmatch(r"[A-Z]\w+", str(line["unreadable"])), "the failure is named"
    assert all("component" in each for each in logged), "no library logs what it saw"
    labels = {"dialect": "oauth2", "path": "none", "status": str(status)}
    assert telemetry.registry.get_sample_value("dragoman_http_requests_total", labels) == 1


@each_unreadable
async def test_the_answer_is_like_every_other(status: int, sent: bytes) -> None:
    """Who sends it is told so in JSON, with the headers of every answer, and the connection ends."""
    async with open_gateway(Telemetry("gateway"), hsts_seconds="300") as port:
        [(answered, headers, body)] = await answers(port, sent)
    assert (answered, json.loads(body)["error"]) == (status, "invalid_request")
    assert json.loads(body).keys() == {"error", "error_description"}
    assert re.fullmatch(r"[0-9a-f]{32}", headers["x-request-id"])
    assert headers | {"x-request-id": "", "date": "", "content-length": ""} == {
        "content-type": "application/json",
        "cache-control": "no-store",
        "pragma": "no-cache",
        "connection": "close",
        "server": "dragoman",
        "strict-transport-security": "max-age=300",
        "x-content-type-options": "nosniff",
        "x-request-id": "",
        "content-length": "",
        "date": "",
    }


async def test_behind_a_trusted_proxy() -> None:
    """Where only the proxy is known, since what it says of others could not be read, the answer is the same."""
    async with open_gateway(Telemetry("gateway"), trusted_proxies="127.0.0.1/32") as port:
        [(status, _, _)] = await answers(port, GET + b"X-Forwarded-For: 192.0.2.1\r\nX: \x00\r\n\r\n")
    assert status == 400


async def test_on_a_connection_that_was_used_before() -> None:
    """A request that was read and answered before changes nothing for one that cannot be read."""
    async with open_gateway(Telemetry("gateway")) as port, asyncio.timeout(DEADLINE_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 404 ")
            writer.write(GET + SECRET + b"\r\n\r\n" + GET + b"\r\n")
            rest = await reader.read()
        finally:
            writer.close()
    assert rest.startswith(b"HTTP/1.1 400 ")
    assert rest.count(b"HTTP/1.1") == 1
    assert SECRET not in rest


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nCookie: a=" + b"a" * 16_000 + b"\r\n\r\n",
        b"GET /a?" + b"a" * 16_000 + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ],
    ids=["cookies", "URL"],
)
async def test_much_that_can_be_read(sent: bytes) -> None:
    """Cookies of other applications on the same domain, up to 16 KB of them, do no harm; nor does a URL as long."""
    async with open_gateway(Telemetry("gateway")) as port:
        [(status, _, _)] = await answers(port, sent)
    assert status == 404
