"""The same on the real broker, with no more rights there and in the database than in production."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg
import pytest
from pydantic import SecretStr

from cli.components import schemas
from services.password.__main__ import open_password
from services.password.settings import PasswordSettings
from shared.bus.dispatch import Delivery
from shared.bus.rabbit import RabbitBus
from shared.clock import SystemClock
from shared.contracts.password import PasswordChanged, PasswordSet, SetPassword
from shared.errors import Error, ErrorCode
from shared.postgres.migrate import migrate
from shared.process import Kit
from shared.telemetry import Telemetry
from tests.conftest import PASSWORD, broker_url

DEADLINE_SECONDS = 20.0
USER = UUID(int=1)


@pytest.fixture
async def own_role_url(postgres_url: str, worker: str) -> AsyncIterator[str]:
    """The database for the service's own role, as a migration makes it."""
    role, parts = f"dragoman_test_{worker}_password", urlsplit(postgres_url)
    url = urlunsplit(parts._replace(netloc=f"{role}:{PASSWORD}@{parts.hostname}:{parts.port}"))
    await migrate(postgres_url, schemas({"password": url}))
    yield url
    admin = await asyncpg.connect(postgres_url)
    try:
        await admin.execute(f"DROP OWNED BY {role}")
        await admin.execute(f"DROP ROLE {role}")
    finally:
        await admin.close()


async def test_token_hears_of_a_change_over_the_broker(own_role_url: str, rabbitmq_url: str) -> None:
    """`password` may write its outbox and publish from it, `token` may hear it, and both do."""
    environ = {
        "DRAGOMAN_POSTGRES_URL": own_role_url,
        "DRAGOMAN_RABBITMQ_URL": broker_url(rabbitmq_url, "password"),
    }
    heard: asyncio.Queue[PasswordChanged] = asyncio.Queue()

    async def hear(event: PasswordChanged, delivery: Delivery) -> None:
        del delivery
        heard.put_nowait(event)

    identity, token = (
        RabbitBus(broker_url(rabbitmq_url, name), name, Telemetry(name), SystemClock())
        for name in ("identity", "token")
    )
    token.subscribe({PasswordChanged: hear})
    async with open_password(PasswordSettings.load(environ), Kit(Telemetry("password"))), identity, token:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await identity.wait_connected()
            await token.wait_connected()
            await _set_when_served(identity, "a sentence nobody else would choose")
            changed = await _set_when_served(identity, "another sentence altogether")
            event = await heard.get()
    assert heard.empty()
    assert event == PasswordChanged(user_id=USER, changed_at=changed.changed_at or SystemClock().now())


async def _set_when_served(identity: RabbitBus, password: str) -> PasswordSet:
    """Give the user a password as soon as the service has found the broker."""
    while True:
        try:
            return await identity.call(SetPassword(user_id=USER, password=SecretStr(password)))
        except Error as error:
            if error.code != ErrorCode.UNAVAILABLE:
                raise
            await asyncio.sleep(0.05)
