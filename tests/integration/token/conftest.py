"""A running `token` with what surrounds it: the gateway and the operator as callers, and an identity of few users."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
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
from shared.contracts.identity import (
    AnswerChallenge,
    Authenticate,
    Authentication,
    Challenge,
    ChallengeKind,
    GetUser,
    KnownUser,
    SecondFactor,
    User,
    UserState,
)
from shared.contracts.providers import AuthenticateByProvider
from shared.contracts.token import (
    Client,
    ContinueSignIn,
    CreateClient,
    Dialect,
    EndSession,
    GetKeys,
    GrantClientCredentials,
    GrantPassword,
    GrantRefreshToken,
    RotateClientSecret,
    SignedIn,
    SignIn,
    SignInChallenge,
    SignInWithProvider,
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
MUST_CHANGE, CAREFUL = "new@example.com", "careful@example.com"
CODE = "135790"
UNVERIFIED = "unverified@example.com"


class FakeIdentity:
    """Knows one user who is admitted, one who must change the password first, and one with a second factor.

    Any e-mail address with a UUID before the @ is that user, who is admitted too. A provider's code is the e-mail
    address of whom it has signed in.
    """

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.user_id = uuid4()
        self.asked: list[str] = []
        self.calls: list[Authenticate | AuthenticateByProvider | AnswerChallenge] = []
        self.states: dict[UUID, UserState] = {}
        self.gone: set[UUID] = set()
        self.known_names: set[str] = set()
        self.challenges: dict[str, tuple[str, str, str, str]] = {}
        self.proved_at: datetime | None = None
        self.before_answer: Callable[[], Awaitable[object]] | None = None
        self.after_new_password: Callable[[datetime], Awaitable[object]] | None = None

    async def authenticate(self, call: Authenticate) -> Authentication:
        """As identity does, for a password that everybody has."""
        self.asked.append(call.identifier)
        self.calls.append(call)
        if self.before_answer is not None:
            await self.before_answer()
        if call.secret.get_secret_value() != PASSWORD:
            raise Error(ErrorCode.WRONG_PASSWORD, "the password is wrong")
        challenge, methods = None, ["pwd"]
        if call.identifier == CAREFUL:
            if call.second_factor == "challenge":
                challenge = self._challenge(call.dialect, call.identifier, "second_factor")
            else:
                methods += self._second_factor(call.code)
        if call.identifier == MUST_CHANGE:
            # What an identity answers that does not know yet who can be challenged: one without a token.
            challenge = Challenge(kind="new_password")
            if call.new_password:
                challenge = self._challenge(call.dialect, call.identifier, "new_password")
        return Authentication(user=self._user(call.identifier), methods=methods, challenge=challenge)

    async def authenticate_by_provider(self, call: AuthenticateByProvider) -> Authentication:
        """As identity does, for whom the code names; `unverified` is nobody."""
        self.calls.append(call)
        if self.before_answer is not None:
            await self.before_answer()
        name = call.code.get_secret_value()
        if name == UNVERIFIED:
            raise Error(ErrorCode.NO_SUCH_USER, "the address is not verified")
        challenge = self._challenge(call.dialect, name, "second_factor", "fed") if name == CAREFUL else None
        return Authentication(user=self._user(name), methods=["fed"], challenge=challenge)

    async def answer_challenge(self, call: AnswerChallenge) -> Authentication:
        """As identity does; the new password counts since a moment that `after_new_password` is told."""
        self.calls.append(call)
        if self.before_answer is not None:
            await self.before_answer()
        token = call.token.get_secret_value()
        kind, dialect, identifier, method = self.challenges.get(token, ("", "", "", ""))
        if (kind, dialect) != (call.kind, call.dialect):
            raise Error(ErrorCode.CHALLENGE_UNKNOWN, "no such challenge")
        del self.challenges[token]
        methods, proved_at = [method], self.proved_at
        if kind == "second_factor":
            methods += self._second_factor(call.code)
        else:
            changed_at = self.clock.now()
            proved_at = changed_at + timedelta(microseconds=1)
            if self.after_new_password is not None:
                await self.after_new_password(changed_at)
        return Authentication(user=self._user(identifier), methods=methods, proved_at=proved_at)

    async def get_user(self, call: GetUser) -> KnownUser:
        """The one with more than one name, or anybody else; `known_names` are theirs in other forms.

        Without any it answers as one of an earlier version does, who says nothing of names.
        """
        if call.user_id in self.gone:
            raise Error(ErrorCode.NOT_FOUND, "there is no such user")
        user = self._user(USERNAME if call.user_id == self.user_id else f"{call.user_id}@example.com")
        state = self.states.get(call.user_id, "active")
        return KnownUser(**dict(user) | {"state": state}, named=call.name in self.known_names)

    def _challenge(self, dialect: str, identifier: str, kind: ChallengeKind, method: str = "pwd") -> Challenge:
        token = str(uuid4())
        self.challenges[token] = (kind, dialect, identifier, method)
        factor: SecondFactor | None = "totp" if kind == "second_factor" else None
        expires_at = self.clock.now() + timedelta(minutes=3)
        return Challenge(kind=kind, token=SecretStr(token), factor=factor, expires_at=expires_at)

    def _second_factor(self, code: SecretStr | None) -> list[str]:
        if code is None:
            detail = {"factor": "totp"}
            raise Error(ErrorCode.SECOND_FACTOR_REQUIRED, "a second factor is required", detail=detail)
        if code.get_secret_value() != CODE:
            raise Error(ErrorCode.WRONG_CODE, "the code is wrong")
        return ["otp", "mfa"]

    def _user(self, name: str) -> User:
        if name == USERNAME:
            names = {"username": "someone", "phone": "+64211234567"}
            return User(id=self.user_id, email=USERNAME, created_at=self.clock.now(), **names)
        own = name in {MUST_CHANGE, CAREFUL}
        user_id = self.user_id if own else UUID(name.partition("@")[0])
        return User(id=user_id, email=name, created_at=self.clock.now())


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
        neighbours = {name: self.bus(name) for name in ("gateway", "operator", "identity", "password")}
        if with_identity:
            neighbours["identity"].serve(
                {
                    Authenticate: self.identity.authenticate,
                    AuthenticateByProvider: self.identity.authenticate_by_provider,
                    AnswerChallenge: self.identity.answer_challenge,
                    GetUser: self.identity.get_user,
                }
            )
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

    async def start(self, dialect: Dialect, name: str = USERNAME, password: str = PASSWORD, **more: Any) -> SignedIn:
        """Sign in by a dialect without clients of its own."""
        call = SignIn(dialect=dialect, identifier=name, password=SecretStr(password), **more)
        return await self.neighbours["gateway"].call(call)

    async def come_back(self, name: str = USERNAME, dialect: Dialect = "directus", **more: Any) -> SignedIn:
        """Sign in by what a provider sent the browser back with."""
        given = {
            "state": SecretStr("a state that was given"),
            "browser": SecretStr("a secret of this browser"),
            "code": SecretStr(name),
        }
        call = SignInWithProvider(dialect=dialect, provider="example", **given | more)
        return await self.neighbours["gateway"].call(call)

    async def answer(self, dialect: Dialect, challenge: SignInChallenge, **answer: Any) -> SignedIn:
        """Answer a challenge, by `code` or by `new_password`."""
        assert challenge.token is not None
        call = ContinueSignIn(dialect=dialect, kind=challenge.kind, token=challenge.token, **answer)
        return await self.neighbours["gateway"].call(call)

    async def sign_in_to(self, dialect: Dialect, name: str = USERNAME) -> TokenSet:
        """Sign in by any dialect, which has to succeed at once."""
        return await self.sign_in(name) if dialect == "oauth2" else tokens(await self.start(dialect, name))

    async def refresh_in(self, dialect: Dialect, held: TokenSet | str, **more: Any) -> TokenSet:
        """Present a refresh token as the dialect's client does: with a name where one is wanted."""
        if dialect == "oauth2":
            return await self.refresh(held, **more)
        named = {"username": USERNAME} if dialect == "enterprise" else {}
        return await self.refresh(held, client=None, secret=None, dialect=dialect, **named | more)

    async def sign_out(self, dialect: Dialect, **which: Any) -> bool:
        """End a session, by `session_id` or `refresh_token`; returns whether there was one to end."""
        return (await self.neighbours["gateway"].call(EndSession(dialect=dialect, **which))).ended

    async def claims(self, granted: TokenSet) -> dict[str, Any]:
        """What an access token says to those who verify it with the published keys."""
        return await self.read(granted.access_token)

    async def read(self, signed: SecretStr) -> dict[str, Any]:
        """What any of our tokens says."""
        keys = jwt.PyJWKSet((await self.neighbours["gateway"].call(GetKeys())).keys)
        token = signed.get_secret_value()
        key = keys[jwt.get_unverified_header(token)["kid"]]
        # Time is the fake clock's.
        options = {"verify_exp": False, "verify_iat": False, "verify_aud": False}
        read: dict[str, Any] = jwt.decode(token, key, algorithms=["ES256"], issuer=ISSUER, options=options)  # type: ignore[arg-type]
        return read

    async def tell(self, event: Event, event_id: UUID | None = None) -> None:
        """Have the broker hand over an event of its owner; returns when it was taken in."""
        frame = EventFrame(event_id or uuid4(), event.subject, event.model_dump_json().encode(), "test")
        self.platform.broker.hand_over("token", frame)
        await self.kit.made[0].settled()


def refresh_token(held: TokenSet) -> str:
    """The refresh token as the client keeps it."""
    assert held.refresh_token is not None
    return held.refresh_token.get_secret_value()


def tokens(signed_in: SignedIn) -> TokenSet:
    """The tokens of a sign-in that nothing came before."""
    assert signed_in.tokens is not None, signed_in
    assert signed_in.challenge is None
    return signed_in.tokens


def challenge(signed_in: SignedIn) -> SignInChallenge:
    """What comes first, instead of tokens."""
    assert signed_in.challenge is not None
    assert signed_in.tokens is None
    return signed_in.challenge


async def outcome(asked: Awaitable[object]) -> str:
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
