"""What `otp` does besides answering goes on after whatever happens to it."""

import asyncio
from collections.abc import Awaitable, Mapping
from datetime import datetime

import pytest
from structlog.testing import capture_logs

from services.otp import delivery, sms_budget
from services.otp.codes import Codes
from services.otp.delivery import Deliverer
from services.otp.metrics import OtpMetrics
from services.otp.repository import Deliveries
from services.otp.settings import OtpSettings
from services.otp.sms_budget import SmsBudget
from services.otp.sms_counts import SmsCounts, Today
from shared.process import background
from shared.telemetry import Telemetry
from shared.testing import FakeClock
from tests.unit.otp.test_settings import ENVIRONMENT


class Tripping:
    """Work that fails in a way that nobody thought of, the first time."""

    def __init__(self) -> None:
        self.rounds = 0
        self.done = asyncio.Event()

    def work(self) -> None:
        """Fail, later not."""
        self.rounds += 1
        if self.rounds == 1:
            raise ZeroDivisionError
        self.done.set()


class TrippingDeliveries(Deliveries, Tripping):
    """Deliveries that cannot be removed the first time."""

    def __init__(self) -> None:
        Tripping.__init__(self)

    async def forget_old(self, now: datetime) -> None:
        """Fail, later not."""
        self.work()


class TrippingCounts(SmsCounts, Tripping):
    """Counts that cannot be read the first time."""

    def __init__(self) -> None:
        Tripping.__init__(self)

    async def today(self, now: datetime) -> Mapping[str, Today]:
        """Fail, later not."""
        self.work()
        return {}


async def goes_on(work: Awaitable[None], tripping: Tripping) -> None:
    """Run `work` until it has done its second round; it says what happened in the first."""
    with capture_logs() as logs:
        async with background(asyncio.ensure_future(work)), asyncio.timeout(5):
            await tripping.done.wait()
    assert [line["log_level"] for line in logs] == ["error"]


async def test_old_deliveries_are_forgotten_after_an_unforeseen_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """One round that fails, however, is not the last."""
    monkeypatch.setattr(delivery, "_CLEANING_SECONDS", 0.01)
    telemetry, deliveries = Telemetry("otp"), TrippingDeliveries()
    metrics = OtpMetrics(telemetry.registry)
    deliverer = Deliverer(Codes(b"x" * 32, 6), deliveries, {}, metrics, FakeClock(), telemetry)
    await goes_on(deliverer.forget_old(), deliveries)


async def test_the_messages_of_today_are_shown_after_an_unforeseen_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """One look that fails, however, is not the last."""
    monkeypatch.setattr(sms_budget, "_REFRESH_SECONDS", 0.01)
    telemetry, counts = Telemetry("otp"), TrippingCounts()
    metrics = OtpMetrics(telemetry.registry)
    budget = SmsBudget(OtpSettings.load(ENVIRONMENT), counts, metrics, FakeClock(), telemetry.log)
    await goes_on(budget.show(), counts)
