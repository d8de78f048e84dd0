"""The command as an operator runs it, and the services that answer it."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import main
from services.identity.__main__ import COMPONENT as IDENTITY
from services.password.__main__ import COMPONENT as PASSWORD
from services.token.__main__ import COMPONENT as TOKEN
from shared.bus.messages import Call
from shared.bus.rabbit import RabbitBus
from shared.clock import SystemClock
from shared.contracts.identity import ListUsers
from shared.contracts.token import ListClients
from shared.errors import Error, ErrorCode
from shared.process import Kit
from shared.telemetry import Telemetry
from tests.conftest import broker_url
from tests.support.quiet import quiet

DEADLINE_SECONDS = 20.0
KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        """What it printed, as JSON."""
        assert self.status == 0, self.err
        return json.loads(self.out)


@dataclass(frozen=True)
class Command:
    """Runs `dragoman` in a thread of this process, since a process of its own takes a second to start."""

    environment: dict[str, str]

    async def __call__(self, *arguments: str, given: bytes = b"") -> Ended:
        """Run it to its end with `given` as standard input. One at a time: it borrows the process's output."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            ended = await asyncio.to_thread(CliRunner().invoke, main, arguments, given, self.environment)
        if ended.exception is not None and not isinstance(ended.exception, SystemExit):
            raise ended.exception
        return Ended(ended.exit_code, ended.stdout, ended.stderr)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Keep the services' log out of what the command prints; the command sets up the log of its process itself."""
    with quiet():
        yield


@pytest.fixture
async def dragoman(
    postgres_url: str, redis_url: str, redis_prefix: str, rabbitmq_url: str, tmp_path: Path
) -> AsyncIterator[Command]:
    """The command, with token, identity and password there to answer it; secrets of providers are in `tmp_path`."""
    environment = {
        "DRAGOMAN_POSTGRES_URL": postgres_url,
        "DRAGOMAN_REDIS_URL": redis_url,
        "DRAGOMAN_REDIS_PREFIX": redis_prefix,
        "DRAGOMAN_IDENTITY_SECRET_KEY": KEY,
        "DRAGOMAN_IDENTITY_PROVIDER_SECRETS": str(tmp_path),
        "DRAGOMAN_ISSUER": "https://id.example.com",
        "DRAGOMAN_TOKEN_WRAPPING_KEY": KEY,
        "DRAGOMAN_TOKEN_REFRESH_KEY": KEY,
    }
    async with AsyncExitStack() as stack:
        for component in (PASSWORD, IDENTITY, TOKEN):
            url = broker_url(rabbitmq_url, component.name)
            settings = component.settings.load(environment | {"DRAGOMAN_RABBITMQ_URL": url})
            await stack.enter_async_context(component.open(settings, Kit(Telemetry(component.name))))
        url = broker_url(rabbitmq_url, "operator")
        async with (
            RabbitBus(url, "operator", Telemetry("operator"), SystemClock()) as operator,
            asyncio.timeout(DEADLINE_SECONDS),
        ):
            await operator.wait_connected()
            await _served(operator)
        yield Command({"DRAGOMAN_RABBITMQ_URL": url})


async def _served(operator: RabbitBus) -> None:
    """Return once both services that operators call answer."""
    calls: list[Call[Any]] = [ListClients(), ListUsers()]
    for call in calls:
        while True:
            try:
                await operator.call(call)
                break
            except Error as error:
                if error.code != ErrorCode.UNAVAILABLE:
                    raise
                await asyncio.sleep(0.05)
