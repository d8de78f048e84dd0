"""A running password service, `identity` as its caller, and a look at what is stored."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from pydantic import SecretStr

from services.password.__main__ import open_password
from services.password.settings import PasswordSettings
from shared.bus.bus import Bus
from shared.bus.memory import MemoryBroker, MemoryBus
from shared.clock import SystemClock
from shared.contracts.password import ImportPasswordHash, PasswordSet, SetPassword, VerifyPassword
from shared.telemetry import Telemetry
from shared.testing import FakeClock, MemoryKit

PASSWORD = "a sentence nobody else would choose"

Open = Callable[..., AbstractAsyncContextManager[Bus]]


@pytest.fixture
def broker() -> MemoryBroker:
    """Where the service meets its caller, and whoever hears its events."""
    return MemoryBroker()


@pytest.fixture
def clock() -> FakeClock:
    """What the service takes for the time."""
    return FakeClock(SystemClock().now())


@pytest.fixture
def open_service(postgres_url: str, broker: MemoryBroker, clock: FakeClock) -> Open:
    """Starts a password service with some settings and yields identity's place on its bus."""

    @asynccontextmanager
    async def opened(**settings: int) -> AsyncIterator[Bus]:
        kit = MemoryKit(Telemetry("password"), clock=clock, broker=broker)
        environ = {"POSTGRES_URL": postgres_url, "RABBITMQ_URL": "amqp://unused"}
        environ |= {f"PASSWORD_{name}".upper(): str(value) for name, value in settings.items()}
        given = PasswordSettings.load({f"DRAGOMAN_{name}": value for name, value in environ.items()})
        async with (
            open_password(given, kit),
            MemoryBus(broker, "identity", Telemetry("identity"), clock) as identity,
        ):
            assert await kit.health.report() == {"postgres": "ok"}
            yield identity

    return opened


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A look behind the service."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


async def stored_hash(database: asyncpg.Connection, user_id: UUID) -> str:
    """What the service keeps for a user."""
    return str(await database.fetchval("SELECT hash FROM password.passwords WHERE user_id = $1", user_id))


async def verify(bus: Bus, user_id: UUID | None, password: str) -> bool:
    """Whether the service says yes."""
    return (await bus.call(VerifyPassword(user_id=user_id, password=SecretStr(password)))).matches


async def set_password(bus: Bus, user_id: UUID, password: str = PASSWORD, **more: Any) -> PasswordSet:
    """Give a user a password."""
    return await bus.call(SetPassword(user_id=user_id, password=SecretStr(password), **more))


async def import_hash(bus: Bus, user_id: UUID, stored: str) -> PasswordSet:
    """Give a user a hash made elsewhere."""
    return await bus.call(ImportPasswordHash(user_id=user_id, password_hash=SecretStr(stored)))
