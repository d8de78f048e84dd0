"""A running `token` with what surrounds it: the gateway and the operator as callers, and an identity that knows two."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4  # noqa: TID251 - tests need fresh ids only

import asyncpg
import jwt
import pytest
from pydantic import SecretStr

from services.token.__main__ import open_token
from services.token.settings import TokenSettings
from shared.bus.bus import Bus
from shared.bus.frames import EventFrame
from shared.bus.memory import MemoryBroker, MemoryBus
from shared.bus.messages import Event
from shared.contracts.identity import Authenticate, Authentication, Challenge, User
from shared.contracts.token import (
    Client,
    CreateClient,
    GetKeys,
    GrantClientCredentials,
    GrantPassword,
    GrantRefreshToken,
    RotateClientSecret,
    TokenSet,
)
from shared.errors import Error, ErrorCode
from shared.telemetry import Telemetry
from shared.testing import FakeClock
from tests.support.outbox_kit import OutboxKit

DEADLINE_SECONDS = 20.0
ISSUER = "https://id.example.com"
CLIENT, SECRET = "abc123", "456789"
USERNAME, PASSWORD = "someone@example.com", "def56789"
MUST_CHANGE = "new@example.com"


class FakeIdentity:
    """Knows one user who is admitted and one who must change the password first."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.user_id = uuid4()
        self.asked: list[str] = []
        self.before_answer: Callable[[], Awaitable[object]] | None = None

    async def authenticate(self, call: Authenticate) -> Authentication:
        """Any e-mail address with a UUID before the @ is that user."""
        self.asked.append(call.identifier)
        if self.before_answer is not None:
            await self.before_answer()
        if call.secret.get_secret_value() != PASSWORD:
            raise Error(ErrorCode.WRONG_PASSWORD, "the password is wrong")
        name = call.identifier.partition("@")[0]
        user_id = self.user_id if call.identifier in {USERNAME, MUST_CHANGE} else UUID(name)
        challenge = Challenge(kind="new_password") if call.identifier == MUST_CHANGE else None
        user = User(id=user_id, email=call.identifier, created_at=self.clock.now())
        return Authentication(user=user, methods=["pwd"], challenge=challenge)


@dataclass
class Platform:
    """What surrounds `token`; `settings` is the environment that it starts with."""

    settings: dict[str, str]
    database: asyncpg.Pool
    clock: FakeClock = field(default_factory=FakeClock)
    broker: MemoryBroker = field(default_factory=MemoryBroker)
    identity: FakeIdentity = field(init=False)

    def __post_init__(self) -> None:
        self.identity = FakeIdentity(self.clock)

    @asynccontextmanager
    async def running(self, *, with_identity: bool = True, **changed: str) -> AsyncIterator["Token"]:
        """Run `token` with these settings changed, for example `refresh_grace_seconds="0"`."""
        environment = self.settings | {f"DRAGOMAN_TOKEN_{name.upper()}": value for name, value in changed.items()}
        kit = OutboxKit(Telemetry("token"), clock=self.clock, broker=self.broker)
        neighbours = {name: self.bus(name) for name in ("gateway", "operator", "identity")}
        if with_identity:
            neighbours["identity"].serve({Authenticate: self.identity.authenticate})
        async with neighbours["identity"], open_token(TokenSettings.load(environment), kit):
            yield Token(self, kit, neighbours)

    def bus(self, component: str) -> Bus:
        """A neighbour's place on the bus."""
        return MemoryBus(self.broker, component, Telemetry(component), self.clock)


@dataclass
class Token:
    """A running `token` as the others see it."""

    platform: Platform
    kit: OutboxKit
    neighbours: dict[str, Bus]

    async def create_client(self, client_id: str = CLIENT, secret: str | None = SECRET, **changed: Any) -> Client:
        """Register a client that may do everything."""
        given: dict[str, Any] = {
            "client_secret": None if secret is None else SecretStr(secret),
            "grants": ["client_credentials", "password", "refresh_token"],
            "scopes": ["read", "write"],
        }
        return await self.neighbours["operator"].call(CreateClient(client_id=client_id, **given | changed))

    async def rotate(self, client_id: str = CLIENT, overlap: int = 3600) -> Client:
        """Rotate a client's secret, a moment after whatever was before."""
        self.platform.clock.advance(0.001)
        return await self.neighbours["operator"].call(RotateClientSecret(client_id=client_id, overlap=overlap))

    async def client_credentials(
        self, client: str | None = CLIENT, secret: str | None = SECRET, **more: Any
    ) -> TokenSet:
        """Ask for a client's own token."""
        return await self._grant(GrantClientCredentials, client, secret, more)

    async def sign_in(self, username: str | None = USERNAME, password: str | None = PASSWORD, **more: Any) -> TokenSet:
        """Ask for a user's tokens."""
        client, secret = more.pop("client", CLIENT), more.pop("secret", SECRET)
        proof = {"username": username, "password": None if password is None else SecretStr(password)}
        return await self._grant(GrantPassword, client, secret, proof | more)

    async def refresh(self, held: TokenSet | str | None, **more: Any) -> TokenSet:
        """Present a refresh token."""
        client, secret = more.pop("client", CLIENT), more.pop("secret", SECRET)
        text = SecretStr(refresh_token(held) if isinstance(held, TokenSet) else held) if held is not None else None
        return await self._grant(GrantRefreshToken, client, secret, {"refresh_token": text} | more)

    async def _grant(self, kind: Any, client: str | None, secret: str | None, more: dict[str, Any]) -> TokenSet:
        proof = {"client_id": client, "client_secret": None if secret is None else SecretStr(secret)}
        answer: TokenSet = await self.neighbours["gateway"].call(kind(**proof, **more))
        return answer

    async def claims(self, granted: TokenSet) -> dict[str, Any]:
        """What an access token says to those who verify it with the published keys."""
        keys = jwt.PyJWKSet((await self.neighbours["gateway"].call(GetKeys())).keys)
        token = granted.access_token.get_secret_value()
        key = keys[jwt.get_unverified_header(token)["kid"]]
        # Time is the fake clock's.
        options = {"verify_exp": False, "verify_iat": False, "verify_aud": False}
        read: dict[str, Any] = jwt.decode(token, key, algorithms=["ES256"], issuer=ISSUER, options=options)  # type: ignore[arg-type]
        return read

    async def tell(self, event: Event, event_id: UUID | None = None) -> None:
        """Have identity tell of an event; returns when it was taken in."""
        frame = EventFrame(event_id or uuid4(), event.subject, event.model_dump_json().encode(), "test")
        await self.neighbours["identity"].publish(frame)
        await self.kit.made[0].settled()


def refresh_token(held: TokenSet) -> str:
    """The refresh token as the client keeps it."""
    assert held.refresh_token is not None
    return held.refresh_token.get_secret_value()


async def outcome(asked: Awaitable[TokenSet]) -> str:
    """The code of the error, "ok" without one."""
    try:
        await asked
    except Error as error:
        return error.code
    return "ok"


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Return once the condition holds; fail after a deadline."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await condition():  # noqa: ASYNC110 - the database tells nobody when it changes
            await asyncio.sleep(0.01)


@pytest.fixture
async def platform(postgres_url: str) -> AsyncIterator[Platform]:
    """The surroundings, with a look into the database."""
    async with asyncpg.create_pool(postgres_url, min_size=0, max_size=4) as database:
        yield Platform(
            {
                "DRAGOMAN_POSTGRES_URL": postgres_url,
                "DRAGOMAN_RABBITMQ_URL": "amqp://unused",
                "DRAGOMAN_ISSUER": ISSUER,
                "DRAGOMAN_TOKEN_WRAPPING_KEY": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
                "DRAGOMAN_TOKEN_REFRESH_KEY": "HxAREhMUFRYXGBkaGxwdHgABAgMEBQYHCAkKCwwNDg8",
            },
            database,
        )


@pytest.fixture
async def token(platform: Platform) -> AsyncIterator[Token]:
    """`token` with its default settings, and a client that may do everything."""
    async with platform.running() as started:
        await started.create_client()
        yield started
