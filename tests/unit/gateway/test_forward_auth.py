"""What /forward-auth answers a proxy, without a platform behind."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from dragoman_verifier import Claims, KeysUnavailable, TokenExpired, TokenInvalid, Verifier
from yarl import URL

from gateway.addresses import Addresses
from gateway.bearer import BearerTokens
from gateway.client_guesses import ClientGuesses
from gateway.dialects.dialect import Gateway
from gateway.dialects.oauth2 import OAuth2
from gateway.forward_auth import ForwardAuth
from gateway.introspection import Introspector
from gateway.keys import PublicKeys
from gateway.limits.limits import Limits
from gateway.middleware import around_requests
from gateway.revocations import RevocationFeed
from gateway.settings import GatewaySettings
from shared.bus.memory import MemoryBroker, MemoryBus
from shared.entropy import SystemEntropy
from shared.settings import SettingsError
from shared.telemetry import Telemetry
from shared.testing import FakeClock

RULES = "* /public/* public; * /admin/* scope:admin; DELETE /* scope:write scope:admin"
ENVIRONMENT = {"DRAGOMAN_RABBITMQ_URL": "amqp://unused", "DRAGOMAN_ISSUER": "https://id.example.com"}
NOBODY = {"X-Auth-Subject": "", "X-Auth-Scope": "", "X-Auth-Client": "", "X-Auth-Session": ""}
Client = TestClient[web.Request, web.Application]


def claims(**changed: Any) -> Claims:
    """What a user's token says."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    said: dict[str, Any] = {
        "issuer": "https://id.example.com",
        "subject": "ada",
        "audience": ("https://id.example.com",),
        "client_id": "abc123",
        "scopes": frozenset({"write", "read"}),
        "token_id": "t1",
        "session_id": "s1",
        "issued_at": moment,
        "expires_at": moment,
        "key_id": "k1",
        "raw": MappingProxyType({}),
    }
    return Claims(**(said | changed))


@dataclass
class FakeVerifier:
    """Knows some tokens by heart."""

    known: dict[str, Claims | Exception] = field(
        default_factory=lambda: {
            "user": claims(),
            "machine": claims(subject="robot", client_id="robot", scopes=frozenset(), session_id=None),
            "expired": TokenExpired("the token has expired"),
            "unjudged": KeysUnavailable("the keys are away", retry_after=7),
        }
    )

    async def verify(self, token: str) -> Claims:
        """The claims, or why not."""
        found = self.known.get(token, TokenInvalid("not a token"))
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """Asks a gateway that has nothing but forward-auth."""
    settings = GatewaySettings.load(ENVIRONMENT)
    telemetry = Telemetry("gateway")
    clock, entropy = FakeClock(), SystemEntropy()
    bus = MemoryBus(MemoryBroker(), "gateway", telemetry, clock)
    verifier = cast("Verifier", FakeVerifier())
    bearer = BearerTokens(verifier)
    feed = RevocationFeed(bus, None, clock, telemetry, max_staleness=60.0, refuse_when_stale=True)
    introspector = Introspector(bus, feed, verifier, clock, entropy, telemetry)
    addresses = Addresses(())
    limits = Limits(settings.limits, None, addresses, clock, telemetry)
    guesses = ClientGuesses(addresses, clock, entropy, telemetry)
    keys = PublicKeys(bus, telemetry)
    gateway = Gateway(settings, bus, keys, bearer, feed, introspector, addresses, limits, guesses, entropy, clock)
    dialect = OAuth2(gateway)
    app = web.Application(middlewares=[around_requests([dialect], addresses, telemetry, entropy, 5.0)])
    app.add_routes(ForwardAuth(RULES, bearer).routes())
    async with TestClient(TestServer(app)) as opened:
        yield opened


def asked(target: str = "/", method: str = "GET", token: str = "", style: str = "nginx") -> dict[str, str]:
    """The headers by which nginx or Traefik asks."""
    first, second = ("X-Original-Method", "X-Original-URI")
    if style == "traefik":
        first, second = ("X-Forwarded-Method", "X-Forwarded-Uri")
    return {first: method, second: target} | ({"Authorization": f"Bearer {token}"} if token else {})


def identity(answer: Any) -> dict[str, str]:
    """The X-Auth headers of an answer."""
    return {name: value for name, value in answer.headers.items() if name.startswith("X-Auth-")}


@pytest.mark.parametrize("style", ["nginx", "traefik"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_good_token(client: Client, style: str, method: str) -> None:
    """A good token passes, and the service learns whose it is; the proxy may ask by any method."""
    answer = await client.request(method, "/forward-auth", headers=asked("/orders?page=2", token="user", style=style))
    assert answer.status == 200
    assert identity(answer) == {
        "X-Auth-Subject": "ada",
        "X-Auth-Scope": "read write",
        "X-Auth-Client": "abc123",
        "X-Auth-Session": "s1",
    }
    assert answer.headers["Cache-Control"] == "no-store"


async def test_a_clients_own_token(client: Client) -> None:
    """A token without a session passes, too; what it does not say is empty, so that nobody else's word stands there."""
    answer = await client.get("/forward-auth", headers=asked(token="machine"))
    assert answer.status == 200
    assert identity(answer) == NOBODY | {"X-Auth-Subject": "robot", "X-Auth-Client": "robot"}


@pytest.mark.parametrize(
    ("headers", "status", "challenge"),
    [
        (asked(), 401, 'Bearer realm="Service"'),
        (
            asked(token="forged"),
            401,
            'Bearer realm="Service", error="invalid_token", error_description="The access token provided is invalid."',
        ),
        (
            asked(token="expired"),
            401,
            'Bearer realm="Service", error="invalid_token", error_description="The access token provided has expired."',
        ),
        (asked("/?access_token=user"), 401, 'Bearer realm="Service"'),
        (asked("/admin", token="user"), 403, 'Bearer realm="Service", error="insufficient_scope", scope="admin"'),
        (
            asked("/x", "DELETE", token="user"),
            403,
            'Bearer realm="Service", error="insufficient_scope", scope="admin write"',
        ),
        (asked("/admin"), 401, 'Bearer realm="Service"'),
        (asked("/public/../admin", token="user"), 403, None),
        (asked("/public/%2e%2e/admin"), 403, None),
    ],
)
async def test_refusals(client: Client, headers: dict[str, str], status: int, challenge: str | None) -> None:
    """A refusal says what is missing, as RFC 6750 has it, and nothing of anybody."""
    answer = await client.get("/forward-auth", headers=headers)
    assert (answer.status, answer.headers.get("WWW-Authenticate")) == (status, challenge)
    assert identity(answer) == {}


async def test_cannot_be_told(client: Client) -> None:
    """Where a token cannot be judged now, the proxy learns when to ask again."""
    answer = await client.get("/forward-auth", headers=asked(token="unjudged"))
    assert (answer.status, answer.headers["Retry-After"]) == (503, "7")


@pytest.mark.parametrize("token", ["", "forged", "expired", "unjudged"])
async def test_public(client: Client, token: str) -> None:
    """A public path is there for all; without a good token nobody is named."""
    answer = await client.get("/forward-auth", headers=asked("/public/page", token=token))
    assert (answer.status, identity(answer)) == (200, NOBODY)


async def test_public_with_a_good_token(client: Client) -> None:
    """On a public path, too, the service learns who asks."""
    answer = await client.get("/forward-auth", headers=asked("/public/page", token="user"))
    assert (answer.status, answer.headers["X-Auth-Subject"]) == (200, "ada")


PUBLIC = asked("/public/page")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Original-URI": "/public/page"},
        {"X-Original-Method": "GET"},
        asked(""),
        PUBLIC | asked("/admin", style="traefik"),
        PUBLIC | asked("/public/page", "DELETE", style="traefik"),
        PUBLIC | {"X-Forwarded-Uri": "/admin"},
        {"X-Original-URI": "/public/page", "X-Forwarded-Method": "GET"},
        [*PUBLIC.items(), ("X-Original-URI", "/admin")],
    ],
)
async def test_no_single_request_is_named(client: Client, headers: Any) -> None:
    """Where the headers leave open which request is meant, a client may have added some: it does not pass."""
    assert (await client.get("/forward-auth", headers=headers)).status == 403


async def test_both_proxies_name_the_same(client: Client) -> None:
    """A proxy behind a proxy passes when both say the same."""
    headers = PUBLIC | asked("/public/page", style="traefik")
    assert (await client.get("/forward-auth", headers=headers)).status == 200


@pytest.mark.parametrize(
    ("method", "path", "token", "status"),
    [
        ("GET", "/forward-auth/public/page", "", 200),
        ("GET", "/forward-auth/public/page?x=/admin", "", 200),
        ("GET", "/forward-auth/", "", 401),
        ("GET", "/forward-auth/", "user", 200),
        ("POST", "/forward-auth/orders", "user", 200),
        ("GET", "/forward-auth/admin/x?/public", "user", 403),
        ("DELETE", "/forward-auth/orders", "user", 403),
        ("GET", "/forward-auth/public/../admin", "", 403),
        ("GET", "/forward-auth/public/%2e%2e/admin", "", 403),
        ("GET", "/forward-auth//public/page", "", 403),
        ("GET", "/forward-auth/public/pa%0Age", "", 403),
        ("GET", "/forward%2Dauth/public/page", "", 403),
        ("GET", "/forward-auth/forward-auth/public/page", "", 401),
    ],
)
async def test_envoy(client: Client, method: str, path: str, token: str, status: int) -> None:
    """Envoy asks by the request's own method and the path behind the prefix; headers change nothing then."""
    headers = asked("/public/page", "GET", token)
    url = URL(f"{client.make_url('').origin()}{path}", encoded=True)  # as it is, dots and all
    async with client.session.request(method, url, headers=headers) as answer:
        assert answer.status == status


def test_mistakes_in_settings() -> None:
    """A rule that cannot be read is told when the gateway starts, or is checked."""
    with pytest.raises(SettingsError, match="DRAGOMAN_GATEWAY_FORWARD_AUTH_RULES: rule 1: it is not METHODS PATH NEED"):
        GatewaySettings.load(ENVIRONMENT | {"DRAGOMAN_GATEWAY_FORWARD_AUTH_RULES": "public"})
