"""One dialect over real HTTP; `token` and `identity` behind it answer by script."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, cast

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from dragoman_verifier import Claims, TokenExpired, TokenInvalid, Verifier

from gateway.addresses import Addresses
from gateway.bearer import BearerTokens
from gateway.client_guesses import ClientGuesses
from gateway.dialects.dialect import Dialect, Gateway
from gateway.introspection import Introspector
from gateway.keys import PublicKeys
from gateway.limits.limits import Limits
from gateway.middleware import add_headers, around_requests
from gateway.revocations import RevocationFeed
from gateway.settings import GatewaySettings
from shared.bus.memory import MemoryBroker, MemoryBus
from shared.bus.messages import CALLS, Call, Reply
from shared.entropy import SystemEntropy
from shared.errors import Error
from shared.telemetry import Telemetry
from shared.testing import FakeClock

ENVIRONMENT = {
    "DRAGOMAN_RABBITMQ_URL": "amqp://unused",
    "DRAGOMAN_ISSUER": "https://id.example.com",
    "DRAGOMAN_GATEWAY_LIMITS": "off",
}
USER = "4d0c6ae3-4f0b-4a6a-9c1e-1d6f6d2f5a10"
SESSION = "0b3a5f0e-9d0e-4d53-8f0e-6a3a6f1d2c11"
SOURCE = "127.0.0.1/32"
"""Where the tests' requests come from."""


@dataclass
class FakeVerifier:
    """Knows tokens by the name of the client they were given to; `expired` is one whose time is over."""

    async def verify(self, token: str) -> Claims:
        """Say what it knows, as the library does."""
        if token == "expired":
            raise TokenExpired("the token has expired")
        if token not in {"backoffice", "enterprise", "directus", "abc123", "machine"}:
            raise TokenInvalid("not a token")
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        return Claims(
            issuer="https://id.example.com",
            subject=USER,
            audience=("https://id.example.com",),
            client_id=token,
            scopes=frozenset(),
            token_id="t1",
            session_id=None if token == "machine" else SESSION,
            issued_at=moment,
            expires_at=moment,
            key_id="k1",
            raw=MappingProxyType({}),
        )


@dataclass
class Edge:
    """`answers` is what a call of each kind gets, `calls` are those that were made."""

    client: TestClient[web.Request, web.Application]
    answers: dict[type[Call[Any]], Reply | Error] = field(default_factory=dict)
    calls: list[Call[Any]] = field(default_factory=list)

    async def post(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any, dict[str, str]]:
        """POST this JSON; the status, the body, and the headers."""
        async with self.client.post(path, json=body, headers=headers) as response:
            read = await response.json() if response.status != 204 else await response.text()
            return response.status, read, dict(response.headers)

    async def answer(self, call: Call[Any]) -> Reply:
        """Answer a call by the script."""
        self.calls.append(call)
        answer = self.answers[type(call)]
        if isinstance(answer, Error):
            raise answer
        return answer


@asynccontextmanager
async def open_edge(make_dialect: Callable[[Gateway], Dialect], **changed: str) -> AsyncIterator[Edge]:
    """Serve the dialect while inside; `changed` are settings of the gateway."""
    broker, telemetry, clock = MemoryBroker(), Telemetry("gateway"), FakeClock()
    given = {f"DRAGOMAN_GATEWAY_{name.upper()}": value for name, value in changed.items()}
    settings = GatewaySettings.load(ENVIRONMENT | given)
    bus = MemoryBus(broker, "gateway", telemetry, clock)
    verifier = cast("Verifier", FakeVerifier())
    feed = RevocationFeed(bus, None, clock, telemetry, max_staleness=60.0, refuse_when_stale=True)
    introspector = Introspector(bus, feed, verifier, clock, SystemEntropy(), telemetry)
    keys = PublicKeys(bus, telemetry)
    addresses = Addresses(())
    limits = Limits(settings.limits, None, addresses, clock, telemetry)
    bearer = BearerTokens(verifier)
    entropy = SystemEntropy()
    guesses = ClientGuesses(addresses, clock, entropy, telemetry)
    gateway = Gateway(settings, bus, keys, bearer, feed, introspector, addresses, limits, guesses, entropy, clock)
    dialect = make_dialect(gateway)
    app = web.Application(middlewares=[around_requests([dialect], addresses, telemetry, SystemEntropy(), 5.0)])
    app.add_routes(dialect.routes())
    app.on_response_prepare.append(add_headers)
    edge = Edge(TestClient(TestServer(app)))
    services = [MemoryBus(broker, owner, telemetry, clock) for owner in ("token", "identity")]
    for service in services:
        served = [call for call in CALLS.values() if call.owner == service.component]
        service.serve(dict.fromkeys(served, edge.answer))
    async with services[0], services[1], edge.client:
        yield edge
