"""Messages of the register that carry the tests, and handlers for them."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from shared.bus.bus import Bus
from shared.bus.dispatch import Delivery
from shared.bus.frames import EventFrame, ReplyFrame, RequestFrame
from shared.bus.messages import Call, Done, Event
from shared.clock import SystemClock
from shared.contracts.identity import UserSuspended
from shared.contracts.otp import Channel, CheckCode, CodeIssued, DeliveryRequested, IssueCode

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ISSUE = IssueCode(account="a", purpose="sign_in", channel="email", address="a@example.com")
"""Idempotent; `identity` asks `otp`."""

CHECK = CheckCode(account="a", purpose="sign_in", code="123456")
"""Not idempotent; `identity` asks `otp`."""

SUSPENDED = UserSuspended(user_id=UUID(int=1), suspended_at=NOON)
"""`identity` tells `token`."""


async def issue(_call: IssueCode) -> CodeIssued:
    """Answer at once."""
    return CodeIssued(expires_at=NOON)


async def check(_call: CheckCode) -> Done:
    """Answer at once."""
    return Done()


def delivery(channel: Channel, number: int) -> EventFrame:
    """A code that waits to be sent, as the outbox hands it over; `otp` tells itself."""
    event = DeliveryRequested(
        code_id=UUID(int=number), purpose="sign_in", channel=channel, address="someone", expires_at=NOON
    )
    return told(event, number)


class Held:
    """A handler that has begun, and ends when it is let go."""

    def __init__(self) -> None:
        self.begun = asyncio.Semaphore(0)
        self.gate = asyncio.Event()
        self.count = 0

    async def issue(self, call: IssueCode) -> CodeIssued:
        """Answer when the gate opens."""
        await self._pass()
        return await issue(call)

    async def check(self, call: CheckCode) -> Done:
        """Answer when the gate opens."""
        await self._pass()
        return await check(call)

    async def suspended(self, _event: UserSuspended, _delivery: Delivery) -> None:
        """End when the gate opens."""
        await self._pass()

    async def delivery(self, _event: DeliveryRequested, _delivery: Delivery) -> None:
        """End when the gate opens."""
        await self._pass()

    async def _pass(self) -> None:
        self.count += 1
        self.begun.release()
        await self.gate.wait()


class Heard:
    """An event handler that keeps what it heard and fails as often as it is told."""

    def __init__(self, failures: int = 0) -> None:
        self._failures = failures
        self.deliveries: asyncio.Queue[tuple[Event, Delivery]] = asyncio.Queue()

    async def __call__(self, event: Event, delivery: Delivery) -> None:
        """Note it, then fail or not."""
        self.deliveries.put_nowait((event, delivery))
        if self._failures > 0:
            self._failures -= 1
            raise RuntimeError("the store is away")

    async def next(self) -> tuple[Event, Delivery]:
        """The next delivery, awaited for a while."""
        async with asyncio.timeout(5):
            return await self.deliveries.get()


def told(event: Event, number: int = 1) -> EventFrame:
    """`event` as the outbox hands it over."""
    return EventFrame(UUID(int=number), event.subject, event.model_dump_json().encode(), "request-1")


async def send_raw(bus: Bus, kind: type[Call[Any]], body: bytes, caller: str | None = None) -> ReplyFrame:
    """Send what no typed caller would."""
    frame = RequestFrame(kind.subject, body, caller or bus.component, "request-1", 2.0, SystemClock().now().timestamp())
    return await bus._request(kind, frame)
