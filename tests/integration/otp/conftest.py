"""A running `otp` with what surrounds it, and `identity` as its caller."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from deploy.inbox.faults import Faults, FaultSwitch
from deploy.inbox.mailbox import Mailbox, Message, Query
from deploy.inbox.smtp import serve_smtp
from deploy.inbox.web import build_app
from services.otp.__main__ import open_otp
from services.otp.settings import OtpSettings
from shared.bus.memory import MemoryBroker, MemoryBus
from shared.bus.topology import RetryPolicy
from shared.clock import SystemClock
from shared.contracts.otp import Channel, CheckCode, CodeIssued, IssueCode, Purpose
from shared.errors import Error
from shared.process import Kit
from shared.telemetry import Telemetry
from shared.testing import FakeClock, MemoryKit

DEADLINE_SECONDS = 20.0
ACCOUNT = "4f9d2f0e-account"
EMAIL = "someone@example.com"
PHONE = "+4915112345678"


@dataclass
class Platform:
    """What a test needs of the surroundings; `settings` is the environment that `otp` starts with."""

    settings: dict[str, str]
    mailbox: Mailbox
    switch: FaultSwitch
    # Ahead of the database's own clock, by which the outbox says when an event is due.
    clock: FakeClock = field(default_factory=lambda: FakeClock(SystemClock().now() + timedelta(hours=1)))
    broker: MemoryBroker = field(default_factory=lambda: MemoryBroker(RetryPolicy(delays=(0.05,), max_attempts=200)))

    @asynccontextmanager
    async def running(self, **changed: str) -> AsyncIterator["Otp"]:
        """Run `otp` with these settings changed, for example `max_attempts="3"`."""
        environment = self.settings | {f"DRAGOMAN_OTP_{name.upper()}": value for name, value in changed.items()}
        settings = OtpSettings.load(environment)
        kit = MemoryKit(Telemetry("otp"), clock=self.clock, broker=self.broker)
        bus = MemoryBus(self.broker, "identity", Telemetry("identity"), self.clock)
        async with open_otp(settings, kit), bus:
            yield Otp(self, kit, bus.call)


@dataclass
class Otp:
    """A running `otp` as `identity` sees it."""

    platform: Platform
    kit: Kit
    call: Callable[[Any], Any]

    async def issue(
        self,
        account: str = ACCOUNT,
        address: str = EMAIL,
        channel: Channel = "email",
        *,
        purpose: Purpose = "sign_in",
        link: str | None = None,
        deliver: bool = True,
        not_before: datetime | None = None,
    ) -> CodeIssued:
        """Ask for a code."""
        call = IssueCode(
            account=account,
            purpose=purpose,
            channel=channel,
            address=address,
            link=link,
            deliver=deliver,
            not_before=not_before,
        )
        issued: CodeIssued = await self.call(call)
        return issued

    async def check(
        self,
        code: str,
        account: str = ACCOUNT,
        purpose: Purpose = "sign_in",
        **more: Any,
    ) -> str:
        """Try a code; returns "ok" or the code of the error."""
        try:
            await self.call(CheckCode(account=account, purpose=purpose, code=code, **more))
        except Error as error:
            return error.code
        return "ok"

    def counted(self, name: str, **labels: str) -> float:
        """A metric of `otp`."""
        return self.kit.telemetry.registry.get_sample_value(f"dragoman_otp_{name}", labels) or 0.0

    async def messages(self, count: int, address: str = EMAIL) -> list[Message]:
        """All messages to the address, oldest first, once there are `count`."""
        await eventually(lambda: len(self.received(address)) >= count)
        return self.received(address)

    def received(self, address: str = EMAIL) -> list[Message]:
        """The messages to the address so far, oldest first."""
        return self.platform.mailbox.find(Query(to=address))[::-1]

    async def delivered(self, outcome: str, count: float = 1, channel: Channel = "email") -> None:
        """Return once `count` deliveries had this outcome."""
        await eventually(lambda: self.counted("deliveries_total", channel=channel, outcome=outcome) >= count)

    async def code(self, count: int = 1, address: str = EMAIL) -> str:
        """The code in message number `count`."""
        return code_in((await self.messages(count, address))[count - 1])


def code_in(message: Message) -> str:
    """The code that a message tells."""
    found = re.search(r"\b\d{6}\b", message.text)
    assert found is not None, message.text
    return found[0]


async def eventually(condition: Callable[[], bool]) -> None:
    """Return once the condition holds; fail after a deadline."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():  # noqa: ASYNC110 - metrics and mailboxes of the product fire no event
            await asyncio.sleep(0.01)


def other_than(code: str) -> str:
    """A code of the same form that is not this one."""
    return f"{(int(code) + 1) % 1_000_000:06d}"


@pytest.fixture
async def platform(postgres_url: str, redis_url: str, redis_prefix: str) -> AsyncIterator[Platform]:
    """The surroundings, with an empty mailbox."""
    now = SystemClock().now
    mailbox, switch = Mailbox(now), FaultSwitch()
    smtp = await serve_smtp(mailbox, switch, "127.0.0.1", 0)
    async with TestServer(build_app(mailbox, switch, now)) as http:
        yield Platform(
            {
                "DRAGOMAN_POSTGRES_URL": postgres_url,
                "DRAGOMAN_REDIS_URL": redis_url,
                "DRAGOMAN_REDIS_PREFIX": redis_prefix,
                "DRAGOMAN_RABBITMQ_URL": "amqp://unused",
                "DRAGOMAN_OTP_CODE_KEY": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
                "DRAGOMAN_OTP_SMTP_HOST": "127.0.0.1",
                "DRAGOMAN_OTP_SMTP_PORT": str(smtp.sockets[0].getsockname()[1]),
                "DRAGOMAN_OTP_SMTP_TLS": "none",
                "DRAGOMAN_OTP_MAIL_FROM": "Platform <no-reply@example.com>",
                "DRAGOMAN_OTP_SMS_URL": str(http.make_url("/sms/Messages.json")),
                "DRAGOMAN_OTP_SMS_USERNAME": "demo",
                "DRAGOMAN_OTP_SMS_PASSWORD": "demo",
                "DRAGOMAN_OTP_SMS_FROM": "+4930123456",
            },
            mailbox,
            switch,
        )
        switch.set(Faults())
    smtp.close()
    await smtp.wait_closed()


@pytest.fixture
async def otp(platform: Platform) -> AsyncIterator[Otp]:
    """`otp` with its default settings."""
    async with platform.running() as started:
        yield started
