"""The same on the real broker, with the broker users' own rights."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

from deploy.inbox.faults import Faults
from services.otp.__main__ import open_otp
from services.otp.senders import SEND_SECONDS
from services.otp.settings import OtpSettings
from shared.bus.rabbit import RabbitBus
from shared.clock import SystemClock
from shared.postgres import Database
from shared.process import Kit
from shared.telemetry import Telemetry
from tests.conftest import broker_url
from tests.integration.otp.conftest import DEADLINE_SECONDS, Otp, Platform
from tests.support.proxy import TcpProxy


@asynccontextmanager
async def running(platform: Platform, rabbitmq_url: str, otp_url: str | None = None) -> AsyncIterator[Otp]:
    """An `otp` that is ready, and `identity` beside it."""
    settings = platform.settings | {"DRAGOMAN_RABBITMQ_URL": otp_url or broker_url(rabbitmq_url, "otp")}
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


async def test_a_mail_under_way_outlives_its_connection_to_the_broker(platform: Platform, rabbitmq_url: str) -> None:
    """When the broker goes while the mail server takes a message, the person gets it once, and it is noted as sent."""
    url = broker_url(rabbitmq_url, "otp")
    parts = urlsplit(url)
    async with TcpProxy(parts.hostname or "", parts.port or 5672) as proxy:
        address = parts.netloc.rpartition("@")[0] + f"@127.0.0.1:{proxy.port}"
        async with running(platform, rabbitmq_url, urlunsplit(parts._replace(netloc=address))) as otp:
            platform.switch.set(Faults(smtp="slow"))
            await otp.issue()
            await otp.messages(1)
            proxy.cut()
            async with asyncio.timeout(DEADLINE_SECONDS):
                while (await otp.kit.health.report())["rabbitmq"] == "ok":  # noqa: ASYNC110 - readiness fires no event
                    await asyncio.sleep(0.01)
            platform.switch.set(Faults())
            await otp.delivered("sent")
            await otp.delivered("skipped")  # what the broker delivers again
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


async def test_a_burst_of_codes_waits_for_its_provider(platform: Platform, rabbitmq_url: str) -> None:
    """However many codes come at once, all are sent as the provider takes them, each at its first attempt."""
    platform.settings["DRAGOMAN_OTP_PREFETCH"] = "4"
    async with running(platform, rabbitmq_url) as otp:
        platform.switch.set(Faults(sms="slow"))
        try:
            for number in range(40):
                await otp.issue(account=f"account-{number}", address=f"+49151123456{number:02d}", channel="sms")
        finally:
            platform.switch.set(Faults())
        await otp.delivered("sent", 40, "sms")
        assert otp.counted("deliveries_total", channel="sms", outcome="deferred") == 0
        async with Database(platform.settings["DRAGOMAN_POSTGRES_URL"], name="otp test") as database:
            rows = await database.fetch("SELECT attempts FROM otp.deliveries")
        assert [row["attempts"] for row in rows] == [1] * 40
