"""How long the `directus` dialect takes to answer, on a loop whose time passes only while everybody waits."""

import asyncio
import json
import selectors
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from aiohttp import web
from pydantic import SecretStr

from gateway.addresses import Addresses
from gateway.body import BodyError
from gateway.dialects.dialect import Gateway
from gateway.dialects.directus import Directus
from gateway.limits.limits import Limits
from gateway.settings import GatewaySettings
from gateway.stall import Stall
from shared import context
from shared.bus.bus import Bus
from shared.bus.messages import Done
from shared.contracts.token import SignedIn, TokenSet
from shared.errors import Error, ErrorCode, unavailable
from shared.telemetry import Telemetry
from shared.testing import FakeClock
from tests.unit.gateway.requests import request

SETTINGS = GatewaySettings.load(
    {
        "DRAGOMAN_RABBITMQ_URL": "amqp://unused",
        "DRAGOMAN_ISSUER": "https://id.example.com",
        "DRAGOMAN_GATEWAY_DIRECTUS_PASSWORD_RESET_URL_ALLOW_LIST": "https://app.example.com/reset",
    }
)
TOKENS = TokenSet(
    access_token=SecretStr("a"),
    expires_in=900,
    issued_at=datetime(2026, 1, 1, tzinfo=UTC),
    refresh_token=SecretStr("r"),
)
LOGIN = {"email": "ada@example.com", "password": "def56789"}
STALL = 0.5
WORK = 0.02


class SkippingLoop(asyncio.SelectorEventLoop):
    """Where it would wait it moves its time instead."""

    def __init__(self) -> None:
        self.now = 1000.0
        super().__init__(_SkippingSelector(self))

    def time(self) -> float:
        """Where its time stands."""
        return self.now


class _SkippingSelector(selectors.SelectSelector):
    def __init__(self, loop: SkippingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loop.now += timeout or 0
        return super().select(0)


@dataclass
class FakeBus:
    """Answers every call after a while, with this or that."""

    answer: Any

    async def call(self, _call: Any) -> Any:
        """What the test wants."""
        await asyncio.sleep(WORK)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def duration(work: Callable[[], Awaitable[Any]], *, request_seconds: float = 5.0) -> float:
    """How long it takes on such a loop; how it ends is another matter."""

    async def measured() -> float:
        loop = asyncio.get_running_loop()
        started = loop.time()
        with context.request("test", request_seconds):
            await asyncio.gather(work(), return_exceptions=True)
        return loop.time() - started

    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        return runner.run(measured())


def handling(handler: str, fields: dict[str, Any], answer: Any) -> Callable[[], Awaitable[web.Response]]:
    """Have a handler answer a request while the platform behind it gives this answer."""
    bus = cast("Bus", FakeBus(answer))
    unused = cast("Any", None)
    addresses = Addresses(())
    limits = Limits("off", None, addresses, FakeClock(), Telemetry("gateway"))
    gateway = Gateway(
        SETTINGS,
        bus,
        keys=unused,
        bearer=unused,
        revocations=unused,
        introspector=unused,
        addresses=addresses,
        limits=limits,
        guesses=unused,
        entropy=unused,
        clock=unused,
    )
    dialect = Directus(gateway)

    async def handle() -> web.Response:
        answered: web.Response = await getattr(dialect, handler)(request(json.dumps(fields).encode()))
        return answered

    return handle


@pytest.mark.parametrize(
    "error",
    [
        Error(ErrorCode.NO_SUCH_USER, "nobody"),
        Error(ErrorCode.WRONG_PASSWORD, "wrong"),
        Error(ErrorCode.USER_SUSPENDED, "suspended"),
        Error(ErrorCode.SECOND_FACTOR_REQUIRED, "otp"),
        Error(ErrorCode.WRONG_CODE, "wrong otp"),
        Error(ErrorCode.TOO_MANY_ATTEMPTS, "too many", retry_after=3),
        unavailable("gone"),
        RuntimeError("broken"),
    ],
    ids=str,
)
def test_refused_logins(error: Exception) -> None:
    """Whatever the reason, a refused login takes the same time, counted from its beginning."""
    assert duration(handling("login", LOGIN, error)) == pytest.approx(STALL)


def test_a_good_login() -> None:
    """Who signs in waits for nothing but the work."""
    assert duration(handling("login", LOGIN, SignedIn(tokens=TOKENS))) == pytest.approx(WORK)


@pytest.mark.parametrize("fields", [{}, LOGIN | {"email": "no address"}, LOGIN | {"mode": "no mode"}])
def test_logins_that_ask_nobody(fields: dict[str, Any]) -> None:
    """A login that is refused before anybody is looked up takes no less."""
    assert duration(handling("login", fields, SignedIn(tokens=TOKENS))) == pytest.approx(STALL)


@pytest.mark.parametrize("answer", [Done(), unavailable("gone")], ids=str)
@pytest.mark.parametrize(
    "fields",
    [
        {"email": "ada@example.com"},
        {"email": "no address"},
        {"email": "ada@example.com", "reset_url": "https://app.example.com/reset"},
        {"email": "ada@example.com", "reset_url": "https://evil.example.com/"},
    ],
)
def test_asking_for_a_reset(fields: dict[str, Any], answer: Any) -> None:
    """Asking for a password reset takes the same time, whatever comes of it."""
    assert duration(handling("request_password", fields, answer)) == pytest.approx(STALL)


def test_long_work_is_not_made_longer() -> None:
    """Work that takes longer than the least time is answered when it is done."""

    async def slow() -> None:
        async with Stall(STALL).every_answer():
            await asyncio.sleep(0.8)

    assert duration(slow) == pytest.approx(0.8)


def test_the_requests_deadline_comes_first() -> None:
    """No answer is held back past the moment at which nobody waits for it any more."""

    async def refused() -> None:
        async with Stall(STALL).failures():
            raise BodyError(400, "wrong")

    assert duration(refused, request_seconds=0.2) == pytest.approx(0.2)


def test_who_goes_away_is_not_held() -> None:
    """A request that is given up ends at once."""

    async def given_up() -> None:
        async with Stall(STALL).failures():
            raise asyncio.CancelledError

    assert duration(given_up) == pytest.approx(0)
