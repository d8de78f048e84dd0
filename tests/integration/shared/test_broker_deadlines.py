"""What is left of a call's time after its way over the broker, whatever the hour."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from shared import context
from shared.bus.rabbit import RabbitBus
from shared.contracts.otp import CodeIssued, IssueCode
from shared.telemetry import Telemetry
from shared.testing.fakes import FakeClock
from tests.conftest import broker_url
from tests.contract.bus.vehicles import ISSUE, NOON


@pytest.mark.parametrize("seconds", [0, 1.5, 2.95, 30, 64.5, 100])
async def test_a_call_arrives_with_the_time_that_its_way_has_left(rabbitmq_url: str, seconds: float) -> None:
    """A call that was under way for no time at all has all of its time, whatever the clocks say."""
    clock = FakeClock(datetime.fromtimestamp(128 * 13_900_000, UTC) + timedelta(seconds=seconds))
    left: list[float | None] = []

    async def issue(_call: IssueCode) -> CodeIssued:
        left.append(context.remaining())
        return CodeIssued(expires_at=NOON)

    otp = RabbitBus(broker_url(rabbitmq_url, "otp"), "otp", Telemetry("otp"), clock)
    otp.serve({IssueCode: issue})
    identity = RabbitBus(broker_url(rabbitmq_url, "identity"), "identity", Telemetry("identity"), clock)
    async with otp, identity:
        async with asyncio.timeout(10):
            await otp.wait_connected()
            await identity.wait_connected()
        await identity.call(ISSUE)
    assert left == [pytest.approx(IssueCode.timeout, abs=0.1)]
