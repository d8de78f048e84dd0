"""The bus over RabbitMQ: one supervised connection per component."""

import asyncio
from contextlib import suppress
from typing import Any, Self

import aio_pika
from aio_pika.abc import AbstractConnection

from shared.bus.bus import MAX_PENDING, Bus
from shared.bus.faults import BROKER_FAULTS
from shared.bus.frames import EventFrame, ReplyFrame, RequestFrame
from shared.bus.lenient import read_leniently
from shared.bus.messages import Call
from shared.bus.rabbit_client import CallClient
from shared.bus.rabbit_events import EventPublisher, EventSubscriber
from shared.bus.rabbit_server import CallServer
from shared.bus.topology import RetryPolicy
from shared.clock import Clock
from shared.errors import unavailable
from shared.telemetry import Telemetry

_CONNECT_SECONDS = 5.0
_SETUP_SECONDS = 15.0
EVENT_PREFETCH = 16
_BACKOFF_SECONDS = (0.1, 0.2, 0.5)


class RabbitBus(Bus):
    """A component's place on a RabbitMQ broker.

    The supervisor here reconnects, rather than aio-pika's robust connection, for two reasons: while the broker is away
    a call must fail at once instead of waiting for its return (mosquito/aio-pika#636), and replies must be awaited on
    a consumer that is declared anew with each connection (#679).
    Any channel that dies takes the whole connection along: one way to recover instead of many.
    """

    def __init__(
        self,
        url: str,
        component: str,
        telemetry: Telemetry,
        clock: Clock,
        *,
        prefetch: int = 64,
        event_prefetch: int = EVENT_PREFETCH,
        drain_seconds: float = 10.0,
        heartbeat_seconds: int = 10,
        retry: RetryPolicy | None = None,
        max_pending: int = MAX_PENDING,
    ) -> None:
        """`prefetch` messages are worked on at once, each a call or a group, and `event_prefetch` events of each lane.

        Leaving waits `drain_seconds` at most.
        """
        super().__init__(component, telemetry, clock, max_pending=max_pending)
        read_leniently()
        self._url = url
        self._drain_seconds = drain_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._client = CallClient(component, telemetry, self._lose)
        self._server = CallServer(component, self._dispatcher, telemetry, prefetch)
        self._publisher = EventPublisher(component, telemetry)
        self._subscriber = EventSubscriber(
            component, self._dispatcher, telemetry, clock, retry or RetryPolicy(), event_prefetch, self._lose
        )
        self.fault: Exception | None = None
        """What became of the last attempt to connect; None before its end, and when it went well."""
        self._up = asyncio.Event()
        self._lost = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None
        self._connection: AbstractConnection | None = None

    @property
    def connected(self) -> bool:
        """Whether the connection stands, everything on it is declared, and the broker is not known to be frozen."""
        return self._up.is_set() and self._client.answering.is_set()

    async def wait_connected(self) -> None:
        """Return once the connection stands, everything on it is declared, and the broker answers."""
        while not self.connected:
            await self._up.wait()
            await self._client.answering.wait()

    async def __aenter__(self) -> Self:
        """Begin to connect."""
        self._supervisor = asyncio.create_task(self._supervise(), name=f"bus of {self.component}")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Take no new work, finish what was begun within the drain time, close."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._drain_seconds
        if self._up.is_set():
            with suppress(*BROKER_FAULTS):
                async with asyncio.timeout_at(end):
                    await asyncio.gather(self._server.drain(), self._subscriber.drain())
        if self._supervisor is not None:
            self._supervisor.cancel()
            with suppress(asyncio.CancelledError):
                await self._supervisor
        await self._subscriber.close(end - loop.time())

    async def publish(self, frame: EventFrame) -> None:
        """Publish with the broker's confirmation."""
        try:
            await self._publisher.publish(frame)
        except BROKER_FAULTS as fault:
            raise unavailable(f"event {frame.subject} was not confirmed: {fault!r}") from None

    async def _request(self, kind: type[Call[Any]], frame: RequestFrame) -> ReplyFrame:
        return await self._client.request(kind, frame)

    def _lose(self) -> None:
        self._lost.set()

    async def _supervise(self) -> None:
        failures = 0
        try:
            while True:
                try:
                    await self._connect()
                    failures, self.fault = 0, None
                    await self._lost.wait()
                    self._telemetry.log.warning("broker connection lost")
                except Exception as fault:  # noqa: BLE001 - a supervisor that dies leaves its component deaf for good
                    if failures % 10 == 0:
                        self._telemetry.log.warning("broker unreachable", reason=repr(fault), failures=failures + 1)
                    failures, self.fault = failures + 1, fault
                finally:
                    await self._disconnect()
                await asyncio.sleep(_BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)])
        finally:
            await self._disconnect()

    async def _connect(self) -> None:
        lost = self._lost = asyncio.Event()  # a new one, since an old connection may report its end late
        connection = await aio_pika.connect(
            self._url,
            timeout=_CONNECT_SECONDS,
            heartbeat=self._heartbeat_seconds,
            client_properties={"connection_name": self.component},
        )
        self._connection = connection
        connection.close_callbacks.add(lambda *_: lost.set())
        async with asyncio.timeout(_SETUP_SECONDS):
            # The order matters: whoever can be called must be able to call.
            for part in (self._publisher, self._client, self._subscriber, self._server):
                channel = await part.open(connection)
                if channel is not None:
                    channel.close_callbacks.add(lambda *_: lost.set())
                    # The broker cancels a consumer whose queue was deleted or went with a node of the cluster.
                    underlay = await channel.get_underlay_channel()
                    underlay.on_consumer_cancel_callbacks.add(lambda _: lost.set())
        self._up.set()
        self._telemetry.bus_connected.set(1)
        self._telemetry.log.info("broker connected")

    async def _disconnect(self) -> None:
        self._up.clear()
        self._telemetry.bus_connected.set(0)
        self._client.fail_all("the broker connection was lost")
        self._server.abandon()
        self._subscriber.abandon()
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*BROKER_FAULTS):
                async with asyncio.timeout(1.0):
                    await connection.close()
