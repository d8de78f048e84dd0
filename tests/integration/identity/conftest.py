"""A running `identity` with what surrounds it: its callers, and the two vaults as fakes that answer the contracts."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from pydantic import SecretStr

from services.identity.__main__ import open_identity
from services.identity.settings import IdentitySettings
from shared.bus.bus import Bus
from shared.bus.memory import MemoryBroker, MemoryBus
from shared.bus.messages import Done
from shared.contracts.identity import Authenticate, Authentication, CodeSent, CreateUser, SendCode, SuspendUser, User
from shared.contracts.otp import CheckCode, CodeIssued, IssueCode
from shared.contracts.password import ImportPasswordHash, SetPassword, Verification, VerifyPassword
from shared.errors import Error, ErrorCode
from shared.telemetry import Telemetry
from shared.testing import FakeClock
from tests.support.outbox_kit import OutboxKit

EMAIL, PHONE, USERNAME = "someone@example.com", "+4915112345678", "someone"
PASSWORD = "a sentence nobody else would choose"
CODE = "123456"


class FakePassword:
    """Keeps passwords as they are, and notes what it was asked."""

    def __init__(self) -> None:
        self.kept: dict[UUID, str] = {}
        self.asked: list[VerifyPassword] = []
        self.before_set: Callable[[], object] = lambda: None

    async def verify(self, call: VerifyPassword) -> Verification:
        """Compare."""
        self.asked.append(call)
        kept = self.kept.get(call.user_id) if call.user_id else None
        return Verification(matches=kept is not None and kept == call.password.get_secret_value())

    async def set(self, call: SetPassword) -> Done:
        """Keep, unless the policy refuses it."""
        self.before_set()
        if call.enforce_policy and len(call.password.get_secret_value()) < 15:
            raise Error(ErrorCode.WEAK_PASSWORD, "the password is weak", detail={"reasons": ["too_short"]})
        self.kept[call.user_id] = call.password.get_secret_value()
        return Done()

    async def import_hash(self, call: ImportPasswordHash) -> Done:
        """Keep a hash of the form "plain:…"."""
        self.kept[call.user_id] = call.password_hash.get_secret_value().removeprefix("plain:")
        return Done()


class FakeOtp:
    """Has one code for whomever a code was issued and delivered to, and notes what it was asked."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.live: dict[str, str] = {}
        self.issued: list[IssueCode] = []
        self.checked: list[CheckCode] = []

    async def issue(self, call: IssueCode) -> CodeIssued:
        """Make the code live when it is delivered."""
        self.issued.append(call)
        if call.deliver:
            self.live[call.account] = CODE
        return CodeIssued(expires_at=self.clock.now() + timedelta(minutes=10))

    async def check(self, call: CheckCode) -> Done:
        """Spend it."""
        self.checked.append(call)
        if self.live.get(call.account) != call.code:
            raise Error(ErrorCode.WRONG_CODE, "the code is not the one that was sent")
        del self.live[call.account]
        return Done()


@dataclass
class Platform:
    """What surrounds `identity`; `settings` is the environment that it starts with."""

    settings: dict[str, str]
    database: asyncpg.Pool
    clock: FakeClock = field(default_factory=FakeClock)
    broker: MemoryBroker = field(default_factory=MemoryBroker)
    password: FakePassword = field(default_factory=FakePassword)
    otp: FakeOtp = field(init=False)

    def __post_init__(self) -> None:
        self.otp = FakeOtp(self.clock)

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
        secrets = {name: SecretStr(given.pop(name)) for name in ("password", "password_hash") if name in given}
        if not secrets:
            secrets = {"password": SecretStr(PASSWORD)}
        return await self.callers["operator"].call(CreateUser(**given, **secrets))

    async def suspend(self, identifier: str) -> User:
        """Suspend a user."""
        return await self.callers["operator"].call(SuspendUser(identifier=identifier))

    async def authenticate(self, identifier: str, secret: str = PASSWORD) -> Authentication:
        """Ask who somebody is."""
        return await self.callers["token"].call(Authenticate(identifier=identifier, secret=SecretStr(secret)))

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
async def platform(postgres_url: str) -> AsyncIterator[Platform]:
    """The surroundings, with a look into the database; codes are on, new users may come."""
    async with asyncpg.create_pool(postgres_url, min_size=0, max_size=4) as database:
        yield Platform(
            {
                "DRAGOMAN_POSTGRES_URL": postgres_url,
                "DRAGOMAN_RABBITMQ_URL": "amqp://unused",
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
