"""The same on the real broker, with the broker users' own rights."""

import asyncio

from services.otp.__main__ import open_otp
from services.otp.settings import OtpSettings
from shared.bus.rabbit import RabbitBus
from shared.clock import SystemClock
from shared.contracts.otp import CheckCode, IssueCode
from shared.process import Kit
from shared.telemetry import Telemetry
from tests.conftest import broker_url
from tests.integration.otp.conftest import ACCOUNT, DEADLINE_SECONDS, EMAIL, Otp, Platform


async def test_a_code_travels_over_the_broker(platform: Platform, rabbitmq_url: str) -> None:
    """`identity` asks over RabbitMQ, the delivery waits there, the code arrives and works."""
    settings = platform.settings | {"DRAGOMAN_RABBITMQ_URL": broker_url(rabbitmq_url, "otp")}
    kit = Kit(Telemetry("otp"))
    identity = RabbitBus(broker_url(rabbitmq_url, "identity"), "identity", Telemetry("identity"), SystemClock())
    async with open_otp(OtpSettings.load(settings), kit), identity:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await identity.wait_connected()
            while set((await kit.health.report()).values()) != {"ok"}:  # noqa: ASYNC110 - readiness fires no event
                await asyncio.sleep(0.05)
        otp = Otp(platform, kit, identity.call)
        await identity.call(IssueCode(account=ACCOUNT, purpose="sign_in", channel="email", address=EMAIL))
        code = await otp.code()
        await identity.call(CheckCode(account=ACCOUNT, purpose="sign_in", code=code))
        await otp.delivered("sent")
    assert len(otp.received()) == 1
