"""A running `identity` with what surrounds it: its callers, and the two vaults as fakes that answer the contracts."""

from base64 import b32decode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from pydantic import SecretStr

from services.identity.__main__ import open_identity
from services.identity.settings import IdentitySettings
from shared.bus.bus import Bus
from shared.bus.memory import MemoryBroker, MemoryBus
from shared.bus.messages import Done
from shared.contracts.identity import (
    AnswerChallenge,
    Authenticate,
    Authentication,
    ChallengeKind,
    CodeSent,
    CreateUser,
    DeleteUser,
    EnableTotp,
    GenerateTotp,
    SendCode,
    SuspendUser,
    TotpSetup,
    User,
)
from shared.contracts.otp import CheckCode, CodeIssued, IssueCode
from shared.contracts.password import (
    CheckPasswordPolicy,
    ImportPasswordHash,
    PasswordSet,
    SetPassword,
    Verification,
    VerifyPassword,
)
from shared.errors import Error, ErrorCode
from shared.telemetry import Telemetry
from shared.testing import FakeClock
from tests.support.outbox_kit import OutboxKit

EMAIL, PHONE, USERNAME = "someone@example.com", "+4915112345678", "someone"
PASSWORD = "a sentence nobody else would choose"
NEW_PASSWORD = "another sentence altogether"
CODE = "123456"
LINK_CODE = "x" * 64
SECRET_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
TOTP_SECRET = "JBSWY3DPEHPK3PXP"


class FakePassword:
    """Keeps passwords as they are, and notes what it was asked.

    `tells` is False for an earlier version, which did not tell of changes. `verifying` is awaited by each verification,
    `after_set` once a password is kept.
    """

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.kept: dict[UUID, str] = {}
        self.asked: list[VerifyPassword] = []
        self.tells = True
        self.before_set: Callable[[], object] = lambda: None
        self.after_set: Callable[[], Awaitable[object]] | None = None
        self.verifying: Callable[[], Awaitable[object]] | None = None

    async def verify(self, call: VerifyPassword) -> Verification:
        """Compare."""
        self.asked.append(call)
        if self.verifying is not None:
            await self.verifying()
        kept = self.kept.get(call.user_id) if call.user_id else None
        return Verification(matches=kept is not None and kept == call.password.get_secret_value())

    async def check_policy(self, call: CheckPasswordPolicy) -> Done:
        """Refuse what is short, or one of the words."""
        if len(call.password.get_secret_value()) < 15 or call.password.get_secret_value() in call.context:
            raise Error(ErrorCode.WEAK_PASSWORD, "the password is weak", detail={"reasons": ["too_short"]})
        return Done()

    async def set(self, call: SetPassword) -> PasswordSet:
        """Keep, unless the policy refuses it."""
        self.before_set()
        if call.enforce_policy:
            await self.check_policy(CheckPasswordPolicy(password=call.password, context=call.context))
        done = self._keep(call.user_id, call.password.get_secret_value())
        if self.after_set is not None:
            await self.after_set()
        return done

    async def import_hash(self, call: ImportPasswordHash) -> PasswordSet:
        """Keep a hash of the form "plain:…"."""
        return self._keep(call.user_id, call.password_hash.get_secret_value().removeprefix("plain:"))

    def _keep(self, user_id: UUID, password: str) -> PasswordSet:
        self.kept[user_id] = password
        return PasswordSet(changed_at=self.clock.now() if self.tells else None)


class FakeOtp:
    """Has one code for whomever, and whatever, a code was issued and delivered for, and notes what it was asked."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.live: dict[tuple[str, str], str] = {}
        self.made: dict[tuple[str, str], datetime] = {}
        self.issued: list[IssueCode] = []
        self.checked: list[CheckCode] = []
        self.refusal = ErrorCode.WRONG_CODE
        self.before_issue: Callable[[IssueCode], Awaitable[None]] | None = None

    async def issue(self, call: IssueCode) -> CodeIssued:
        """Make the code live when it is delivered."""
        if self.before_issue is not None:
            await self.before_issue(call)
        self.issued.append(call)
        if call.deliver:
            self.live[call.account, call.purpose] = LINK_CODE if call.link is not None else CODE
            self.made[call.account, call.purpose] = self.clock.now()
        return CodeIssued(expires_at=self.clock.now() + timedelta(minutes=10))

    async def check(self, call: CheckCode) -> Done:
        """Spend it, or only look at it."""
        self.checked.append(call)
        which = (call.account, call.purpose)
        too_old = call.not_before is not None and which in self.made and self.made[which] < call.not_before
        if self.live.get(which) != call.code or too_old:
            raise Error(self.refusal, "the code is not the one that was sent")
        if call.spend:
            del self.live[which]
        return Done()


@dataclass
class Platform:
    """What surrounds `identity`; `settings` is the environment that it starts with."""

    settings: dict[str, str]
    database: asyncpg.Pool
    clock: FakeClock = field(default_factory=FakeClock)
    broker: MemoryBroker = field(default_factory=MemoryBroker)
    password: FakePassword = field(init=False)
    otp: FakeOtp = field(init=False)

    def __post_init__(self) -> None:
        self.password, self.otp = FakePassword(self.clock), FakeOtp(self.clock)

    @asynccontextmanager
    async def running(
        self, *, with_otp: bool = True, with_password: bool = True, **changed: str
    ) -> AsyncIterator["Identity"]:
        """Run `identity` with these settings changed, for example `otp_enabled="no"`."""
        environment = self.settings | {f"DRAGOMAN_IDENTITY_{name.upper()}": value for name, value in changed.items()}
        kit = OutboxKit(Telemetry("identity"), clock=self.clock, broker=self.broker)
        password, otp = self._bus("password"), self._bus("otp")
        password.serve(
            {
                VerifyPassword: self.password.verify,
                SetPassword: self.password.set,
                CheckPasswordPolicy: self.password.check_policy,
                ImportPasswordHash: self.password.import_hash,
            }
        )
        otp.serve({IssueCode: self.otp.issue, CheckCode: self.otp.check})
        async with AsyncExitStack() as stack:
            for there, bus in ((with_password, password), (with_otp, otp)):
                if there:
                    await stack.enter_async_context(bus)
            await stack.enter_async_context(open_identity(IdentitySettings.load(environment), kit))
            callers = {name: self._bus(name) for name in ("gateway", "token", "operator")}
            yield Identity(self, kit, callers)

    def _bus(self, component: str) -> Bus:
        return MemoryBus(self.broker, component, Telemetry(component), self.clock)


@dataclass
class Identity:
    """A running `identity` as the others see it."""

    platform: Platform
    kit: OutboxKit
    callers: dict[str, Bus]

    async def create(self, **given: Any) -> User:
        """Create a user, by default one with all three identifiers and a password."""
        if not given.keys() & {"email", "phone", "username"}:
            given |= {"email": EMAIL, "phone": PHONE, "username": USERNAME}
        if not given.keys() & {"password", "password_hash"}:
            given["password"] = PASSWORD
        for name in ("password", "password_hash", "totp_secret"):
            if name in given:
                given[name] = SecretStr(given[name])
        return await self.callers["operator"].call(CreateUser(**given))

    async def suspend(self, identifier: str) -> User:
        """Suspend a user."""
        return await self.callers["operator"].call(SuspendUser(identifier=identifier))

    async def delete(self, identifier: str) -> User:
        """Delete a user."""
        return await self.callers["operator"].call(DeleteUser(identifier=identifier))

    async def authenticate(
        self, identifier: str, secret: str = PASSWORD, *, code: str | None = None, **more: Any
    ) -> Authentication:
        """Ask who somebody is."""
        typed = None if code is None else SecretStr(code)
        call = Authenticate(identifier=identifier, secret=SecretStr(secret), code=typed, **more)
        return await self.callers["token"].call(call)

    async def challenged(self, identifier: str = EMAIL, secret: str = PASSWORD) -> str:
        """The token of the challenge that comes first for somebody at the dialect "any"."""
        more: dict[str, Any] = {
            "second_factor": "challenge",
            "new_password": True,
            "dialect": "any",
            "accept_code": False,
        }
        found = await self.authenticate(identifier, secret, **more)
        assert found.challenge is not None
        assert found.challenge.token is not None
        return found.challenge.token.get_secret_value()

    async def answer(
        self,
        kind: ChallengeKind,
        token: str,
        answer: str | None,
        *,
        dialect: str = "any",
        identifier: str | None = None,
        source: str | None = None,
    ) -> Authentication:
        """Answer a challenge."""
        secret = None if answer is None else SecretStr(answer)
        return await self.callers["token"].call(
            AnswerChallenge(
                kind=kind,
                token=SecretStr(token),
                dialect=dialect,
                code=secret if kind == "second_factor" else None,
                new_password=secret if kind == "new_password" else None,
                identifier=identifier,
                source=source,
            )
        )

    async def generate_totp(self, user: User, password: str = PASSWORD) -> TotpSetup:
        """A secret for the user."""
        return await self.callers["gateway"].call(GenerateTotp(user_id=user.id, password=SecretStr(password)))

    async def totp_secret(self, user: User) -> str:
        """A secret for the user, as an app reads it."""
        return (await self.generate_totp(user)).secret.get_secret_value()

    async def enable_totp(self, user: User, secret: str, code: str) -> Done:
        """Turn TOTP on."""
        call = EnableTotp(user_id=user.id, secret=SecretStr(secret), code=SecretStr(code))
        return await self.callers["gateway"].call(call)

    def totp(self, secret: str = TOTP_SECRET, *, steps: int = 0) -> str:
        """What an authenticator app shows now, or shows so many steps later."""
        key = b32decode(secret + "=" * (-len(secret) % 8))
        app = TOTP(key, 6, SHA1(), 30, enforce_key_length=False)
        return app.generate(self.platform.clock.now().timestamp() + 30 * steps).decode()

    async def send_code(self, **address: str) -> CodeSent:
        """Ask for a code."""
        return await self.callers["gateway"].call(SendCode(**address))

    async def told(self) -> list[str]:
        """The subjects of the events that wait to be told, oldest first."""
        rows = await self.platform.database.fetch("SELECT subject FROM identity.outbox ORDER BY position")
        return [row["subject"] for row in rows]


async def outcome(asked: Awaitable[object]) -> str:
    """The code of the error, "ok" without one."""
    try:
        await asked
    except Error as error:
        return error.code
    return "ok"


@pytest.fixture
async def platform(postgres_url: str, redis_url: str, redis_prefix: str) -> AsyncIterator[Platform]:
    """The surroundings, with a look into the database; codes are on, new users may come."""
    async with asyncpg.create_pool(postgres_url, min_size=0, max_size=4) as database:
        yield Platform(
            {
                "DRAGOMAN_POSTGRES_URL": postgres_url,
                "DRAGOMAN_REDIS_URL": redis_url,
                "DRAGOMAN_REDIS_PREFIX": redis_prefix,
                "DRAGOMAN_RABBITMQ_URL": "amqp://unused",
                "DRAGOMAN_IDENTITY_SECRET_KEY": SECRET_KEY,
                "DRAGOMAN_IDENTITY_OTP_ENABLED": "yes",
                "DRAGOMAN_IDENTITY_ALLOW_NEW_USERS": "yes",
            },
            database,
        )


@pytest.fixture
async def identity(platform: Platform) -> AsyncIterator[Identity]:
    """`identity` with codes on and new users allowed."""
    async with platform.running() as started:
        yield started
