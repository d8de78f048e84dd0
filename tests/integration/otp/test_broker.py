"""The same on the real broker, with the broker users' own rights."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from deploy.inbox.faults import Faults
from services.otp.__main__ import open_otp
from services.otp.senders import SEND_SECONDS
from services.otp.settings import OtpSettings
from shared.bus.rabbit import RabbitBus
from shared.clock import SystemClock
from shared.process import Kit
from shared.telemetry import Telemetry
from tests.conftest import broker_url
from tests.integration.otp.conftest import DEADLINE_SECONDS, Otp, Platform


@asynccontextmanager
async def running(platform: Platform, rabbitmq_url: str) -> AsyncIterator[Otp]:
    """An `otp` that is ready, and `identity` beside it."""
    settings = platform.settings | {"DRAGOMAN_RABBITMQ_URL": broker_url(rabbitmq_url, "otp")}
    kit = Kit(Telemetry("otp"))
    identity = RabbitBus(broker_url(rabbitmq_url, "identity"), "identity", Telemetry("identity"), SystemClock())
    async with open_otp(OtpSettings.load(settings), kit), identity:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await identity.wait_connected()
            while set((await kit.health.report()).values()) != {"ok"}:  # noqa: ASYNC110 - readiness fires no event
                await asyncio.sleep(0.05)
        yield Otp(platform, kit, identity.call)


async def test_a_code_travels_over_the_broker(platform: Platform, rabbitmq_url: str) -> None:
    """`identity` asks over RabbitMQ, the delivery waits there, the code arrives and works."""
    async with running(platform, rabbitmq_url) as otp:
        await otp.issue()
        code = await otp.code()
        assert await otp.check(code) == "ok"
        await otp.delivered("sent")
    assert len(otp.received()) == 1


async def test_mail_passes_messages_that_hang(platform: Platform, rabbitmq_url: str) -> None:
    """While an SMS provider keeps more messages waiting than may be under way at once, a code by mail arrives."""
    platform.settings["DRAGOMAN_OTP_PREFETCH"] = "8"
    async with running(platform, rabbitmq_url) as otp:
        platform.switch.set(Faults(sms="slow"))
        try:
            for number in range(24):
                await otp.issue(account=f"account-{number}", address=f"+49151123456{number:02d}", channel="sms")
            await otp.issue()
            async with asyncio.timeout(SEND_SECONDS / 2):  # before any of them has had its time
                await otp.code()
            assert otp.counted("deliveries_total", channel="sms", outcome="sent") == 0
        finally:
            platform.switch.set(Faults())
        await otp.delivered("sent", 24, "sms")
