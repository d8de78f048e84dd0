"""The two transports behind one face, so that one suite says what a bus is."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import aio_pika

from shared.bus import topology
from shared.bus.bus import MAX_PENDING, Bus
from shared.bus.dispatch import CallHandler, EventHandler
from shared.bus.memory import MemoryBroker, MemoryBus
from shared.bus.messages import Call, Event
from shared.bus.rabbit import EVENT_PREFETCH, RabbitBus
from shared.bus.topology import RetryPolicy
from shared.clock import SystemClock
from shared.telemetry import Telemetry
from tests.conftest import broker_url
from tests.support.proxy import TcpProxy
from tests.support.waiting import eventually

RETRY = RetryPolicy(delays=(0.05,), max_attempts=3)
PATIENCE_SECONDS = 5.0


@dataclass(frozen=True)
class Parked:
    """An event that no attempt could handle."""

    id: UUID
    subject: str
    reason: str


class Transport(ABC):
    """Makes buses that meet each other; whatever was started ends with it."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def start(
        self,
        component: str,
        calls: Mapping[type[Call[Any]], CallHandler] | None = None,
        events: Mapping[type[Event], EventHandler] | None = None,
        *,
        max_pending: int = MAX_PENDING,
        event_prefetch: int = EVENT_PREFETCH,
    ) -> Bus:
        """A running replica of `component` that answers `calls` and takes in `events`."""
        bus = await self._make(component, max_pending, event_prefetch)
        bus.serve(calls or {})
        bus.subscribe(events or {})
        await self._stack.enter_async_context(bus)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await bus.wait_connected()
        return bus

    async def stop(self, bus: Bus) -> None:
        """End a replica as SIGTERM does."""
        await bus.__aexit__(None, None, None)

    @abstractmethod
    async def kill(self, bus: Bus) -> None:
        """End a replica as SIGKILL does."""

    @abstractmethod
    async def parked(self, component: str) -> Parked:
        """The next event that was parked for `component`, awaited for a while."""

    @abstractmethod
    async def _make(self, component: str, max_pending: int, event_prefetch: int = EVENT_PREFETCH) -> Bus: ...


class Memory(Transport):
    """The twin."""

    def __init__(self) -> None:
        super().__init__()
        self._broker = MemoryBroker(RETRY)

    async def kill(self, bus: Bus) -> None:
        """Cancel whatever runs."""
        assert isinstance(bus, MemoryBus)
        await bus.kill()

    async def parked(self, component: str) -> Parked:
        """Look into the broker."""

        async def look() -> Parked | None:
            dead = self._broker.dead[component]
            return Parked(dead[0][0].id, dead[0][0].subject, dead[0][1]) if dead else None

        return await eventually(look, PATIENCE_SECONDS, "an event is parked")

    async def _make(self, component: str, max_pending: int, event_prefetch: int = EVENT_PREFETCH) -> Bus:
        return MemoryBus(self._broker, component, Telemetry(component), SystemClock(), max_pending=max_pending)


class Rabbit(Transport):
    """A real broker; each component with the rights of its own user, each replica behind a proxy of its own."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.proxies: dict[Bus, TcpProxy] = {}

    async def kill(self, bus: Bus) -> None:
        """Let the broker see what it sees when a process dies: its connection is reset, and does not come back."""
        await self.proxies[bus].__aexit__()

    async def parked(self, component: str) -> Parked:
        """Read the dead-letter queue as an administrator."""
        async with asyncio.timeout(PATIENCE_SECONDS), await aio_pika.connect(self.url) as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(topology.dead_queue(component), passive=True)
            async with queue.iterator() as messages:
                async for message in messages:
                    await message.ack()
                    subject, reason = str(message.headers["subject"]), str(message.headers["reason"])
                    return Parked(UUID(message.message_id), subject, reason)
        raise AssertionError("nothing was parked")

    async def _make(self, component: str, max_pending: int, event_prefetch: int = EVENT_PREFETCH) -> Bus:
        url = broker_url(self.url, component)
        parts = urlsplit(url)
        proxy = await self._stack.enter_async_context(TcpProxy(parts.hostname or "", parts.port or 5672))
        address = f"{parts.username}:{parts.password}@127.0.0.1:{proxy.port}"
        bus = RabbitBus(
            urlunsplit(parts._replace(netloc=address)),
            component,
            Telemetry(component),
            SystemClock(),
            drain_seconds=PATIENCE_SECONDS,
            retry=RETRY,
            max_pending=max_pending,
            event_prefetch=event_prefetch,
        )
        self.proxies[bus] = proxy
        return bus
