"""The whole platform in this process: the gateway over real HTTP, four services on the bus's twin in memory."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import asyncpg
from aiohttp import ClientSession, DummyCookieJar, web
from aiohttp.test_utils import TestServer
from multidict import CIMultiDictProxy
from pydantic import SecretStr

from deploy.inbox import web as inbox
from deploy.inbox.faults import FaultSwitch
from deploy.inbox.mailbox import Mailbox, Query
from deploy.inbox.smtp import serve_smtp
from gateway.app import build_app, build_runner
from gateway.limits.redis_windows import open_windows
from gateway.settings import GatewaySettings
from services.identity.__main__ import COMPONENT as IDENTITY
from services.otp.__main__ import COMPONENT as OTP
from services.password.__main__ import COMPONENT as PASSWORD
from services.token.__main__ import COMPONENT as TOKEN
from shared.bus.memory import MemoryBroker, MemoryBus
from shared.bus.messages import Call
from shared.clock import SystemClock
from shared.contracts.identity import CreateUser, SuspendUser
from shared.contracts.token import CreateClient
from shared.revocations import open_stream
from shared.telemetry import Telemetry
from shared.testing import FakeClock, MemoryKit

ISSUER = "https://id.example.com"
SERVICES = {component.name: component for component in (TOKEN, IDENTITY, OTP, PASSWORD)}
DEADLINE_SECONDS = 20.0
KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
_SCHEMAS = ("token", "identity", "otp", "password")


@dataclass(frozen=True)
class Servers:
    """Where the real servers are, and what the worker's Redis keys begin with."""

    postgres: str
    redis: str
    redis_prefix: str


@dataclass(frozen=True)
class Answer:
    """What came back, read to the end."""

    status: int
    headers: CIMultiDictProxy[str]
    text: str

    def json(self) -> Any:
        """The body, which is JSON."""
        return json.loads(self.text)


@dataclass
class Platform:
    """A running platform and a client to it. The clock stands until a test moves it."""

    servers: Servers
    environment: Mapping[str, str]
    mailbox: Mailbox
    # Ahead of the database's own clock, by which the outbox says when an event is due.
    clock: FakeClock = field(default_factory=lambda: FakeClock(SystemClock().now() + timedelta(hours=1)))
    broker: MemoryBroker = field(default_factory=MemoryBroker)
    http: ClientSession = field(init=False)
    telemetry: Telemetry = field(default_factory=lambda: Telemetry("gateway"))
    inbox_url: str = ""
    host: str = "127.0.0.1"
    port: int = 0

    @property
    def url(self) -> str:
        """Where clients reach the gateway."""
        return f"http://{self.host}:{self.port}"

    @asynccontextmanager
    async def service(self, name: str) -> AsyncIterator[None]:
        """Run one service while inside."""
        component = SERVICES[name]
        kit = MemoryKit(Telemetry(name), clock=self.clock, broker=self.broker)
        async with component.open(component.settings.load(self.environment), kit):
            yield

    def stop(self, name: str) -> None:
        """Take a service off the bus, so that nobody serves its calls."""
        self.broker.replicas[name].clear()
        self.broker.listeners[name].clear()

    @asynccontextmanager
    async def gateway(self) -> AsyncIterator[None]:
        """Serve HTTP while inside."""
        settings = GatewaySettings.load(self.environment)
        kit = MemoryKit(self.telemetry, clock=self.clock, broker=self.broker)
        async with (
            kit.bus(settings) as bus,
            open_stream(settings.redis_url, settings.redis_prefix) as stream,
            open_windows(settings.redis_url, settings.redis_prefix) as windows,
        ):
            runner = build_runner(build_app(settings, bus, kit, stream, windows), settings)
            await runner.setup()
            try:
                await web.TCPSite(runner, self.host, 0).start()
                self.port = runner.addresses[0][1]
                async with ClientSession(base_url=self.url, cookie_jar=DummyCookieJar()) as self.http:
                    yield
            finally:
                await runner.cleanup()

    async def operate(self, call: Call[Any]) -> Any:
        """Do what an operator does."""
        return await MemoryBus(self.broker, "operator", Telemetry("operator"), self.clock).call(call)

    async def send(self, method: str, path: str, **arguments: Any) -> Answer:
        """One request, by aiohttp's client."""
        async with self.http.request(method, path, allow_redirects=False, **arguments) as response:
            return Answer(response.status, response.headers, await response.text())

    async def token(self, grant_type: str, **fields: Any) -> tuple[int, dict[str, Any]]:
        """POST /oauth/v2/token in the name of abc123, unless the fields say otherwise; the status and the body."""
        body = {"grant_type": grant_type, "client_id": "abc123", "client_secret": "456789"} | fields
        async with self.http.post("/oauth/v2/token", json=body) as response:
            return response.status, await response.json()

    async def sign_in(self, username: str, password: str, **fields: Any) -> dict[str, Any]:
        """The tokens of a user who signs in; fails where that is refused."""
        status, body = await self.token("password", username=username, password=password, **fields)
        assert status == 200, body
        return body

    async def send_code(self, *, bearer: str | None = None, **address: str) -> tuple[int, dict[str, Any]]:
        """POST /otp/send; the status and the body."""
        bearer = bearer or (await self.token("client_credentials"))[1]["access_token"]
        headers = {"Authorization": f"Bearer {bearer}"}
        async with self.http.post("/otp/send", json=address, headers=headers) as response:
            return response.status, await response.json()

    async def code_for(self, recipient: str, *, messages: int = 1) -> str:
        """The newest code sent to an address, once it got so many messages."""
        return await self._newest(recipient, messages, r"\b(\d{6})\b")

    async def link_token_for(self, recipient: str, *, messages: int = 1) -> str:
        """The token in the newest link sent to an address, once it got so many messages."""
        return await self._newest(recipient, messages, r"[?&]token=([\w.-]+)")

    async def _newest(self, recipient: str, messages: int, pattern: str) -> str:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while len(found := self.mailbox.find(Query(to=recipient))) < messages:
                last = found[0].number if found else 0
                await self.mailbox.wait(Query(to=recipient, after=last), DEADLINE_SECONDS)
        part = re.search(pattern, found[0].text)
        assert part is not None, found[0].text
        return part[1]

    async def rows(self, query: str, *arguments: Any) -> list[Any]:
        """What the database says."""
        connection = await asyncpg.connect(self.servers.postgres)
        try:
            return [tuple(row) for row in await connection.fetch(query, *arguments)]
        finally:
            await connection.close()

    async def raw(self, request: bytes) -> bytes:
        """Write these bytes to a connection of their own; all that comes back until the server is done.

        The request should ask for the end of the connection, or be so broken that the server ends it.
        """
        async with asyncio.timeout(DEADLINE_SECONDS):
            reader, writer = await asyncio.open_connection(self.host, self.port)
            try:
                writer.write(request)
                return await reader.read()
            finally:
                writer.close()


@asynccontextmanager
async def open_platform(
    servers: Servers, *, without: frozenset[str] = frozenset(), **changed: str
) -> AsyncIterator[Platform]:
    """Run everything but the services in `without`; `changed` are settings, as `identity_otp_enabled="false"`."""
    now = SystemClock().now
    mailbox = Mailbox(now)
    switch = FaultSwitch()
    async with AsyncExitStack() as stack:
        smtp = await serve_smtp(mailbox, switch, "127.0.0.1", 0)
        stack.push_async_callback(smtp.wait_closed)
        stack.callback(smtp.close)
        sms = await stack.enter_async_context(TestServer(inbox.build_app(mailbox, switch, now)))
        environment = {
            "DRAGOMAN_POSTGRES_URL": servers.postgres,
            "DRAGOMAN_REDIS_URL": servers.redis,
            "DRAGOMAN_REDIS_PREFIX": servers.redis_prefix,
            "DRAGOMAN_RABBITMQ_URL": "amqp://unused",
            "DRAGOMAN_ISSUER": ISSUER,
            "DRAGOMAN_DRAIN_SECONDS": "1",
            "DRAGOMAN_GATEWAY_LIMITS": "off",
            "DRAGOMAN_TOKEN_WRAPPING_KEY": KEY,
            "DRAGOMAN_TOKEN_REFRESH_KEY": KEY,
            "DRAGOMAN_IDENTITY_SECRET_KEY": KEY,
            "DRAGOMAN_IDENTITY_OTP_ENABLED": "true",
            "DRAGOMAN_IDENTITY_ALLOW_NEW_USERS": "true",
            "DRAGOMAN_OTP_CODE_KEY": KEY,
            "DRAGOMAN_OTP_SMTP_HOST": "127.0.0.1",
            "DRAGOMAN_OTP_SMTP_PORT": str(smtp.sockets[0].getsockname()[1]),
            "DRAGOMAN_OTP_SMTP_TLS": "none",
            "DRAGOMAN_OTP_MAIL_FROM": "Platform <no-reply@example.com>",
            "DRAGOMAN_OTP_SMS_URL": str(sms.make_url("/sms/Messages.json")),
            "DRAGOMAN_OTP_SMS_USERNAME": "demo",
            "DRAGOMAN_OTP_SMS_PASSWORD": "demo",
            "DRAGOMAN_OTP_SMS_FROM": "+4930123456",
        } | {f"DRAGOMAN_{name.upper()}": value for name, value in changed.items()}
        platform = Platform(servers, environment, mailbox, inbox_url=str(sms.make_url("")).rstrip("/"))
        for name in reversed(SERVICES):
            if name not in without:
                await stack.enter_async_context(platform.service(name))
        await stack.enter_async_context(platform.gateway())
        yield platform


async def load_demo(platform: Platform) -> None:
    """The seed's client and users, and one of each other kind."""
    everything = ["client_credentials", "password", "refresh_token"]
    await platform.operate(_client("abc123", "456789", everything, scopes=["read", "write"]))
    await platform.operate(_client("other", "other-secret", everything))
    await platform.operate(
        _client("machine", "machine-secret", ["client_credentials"], audiences=["https://api.example.com"])
    )
    await platform.operate(_client("follower", "follower-secret", ["client_credentials"], scopes=["revocations:read"]))
    await platform.operate(_user("def56789", email="someone@example.com"))
    await platform.operate(_user("Secret123", email="phoned@example.com", phone="+4915112345678"))
    await platform.operate(_user("Secret123", email="foo@bar.com", email_second_factor=True))
    await platform.operate(_user("Temp-Pass-1234", username="temp", must_change_password=True))
    await platform.operate(_user("Otto-Pass-1234", email="otto@example.com", totp_secret=SecretStr("JBSWY3DPEHPK3PXP")))
    await platform.operate(_user("j8BDWYrQwDF5u4Yu", username="admin", email="admin@example.com"))
    await platform.operate(_user("def56789", email="expelled@example.com"))
    await platform.operate(SuspendUser(identifier="expelled@example.com"))
    await platform.operate(_user("def56789", email="renew@example.com", must_change_password=True))


async def empty(servers: Servers) -> None:
    """Remove every row of every service."""
    connection = await asyncpg.connect(servers.postgres)
    try:
        tables = await connection.fetch(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
            "WHERE schemaname = ANY($1) AND tablename <> 'migrations'",
            _SCHEMAS,
        )
        await connection.execute(f"TRUNCATE {', '.join(row[0] for row in tables)}")
    finally:
        await connection.close()


def _client(client_id: str, secret: str, grants: list[Any], **more: Any) -> CreateClient:
    return CreateClient(client_id=client_id, client_secret=SecretStr(secret), grants=grants, **more)


def _user(password: str, **attributes: Any) -> CreateUser:
    return CreateUser(password=SecretStr(password), enforce_policy=False, **attributes)
