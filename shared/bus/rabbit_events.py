"""Events over RabbitMQ: confirmed publishing, at-least-once delivery, retries with back-off, a dead-letter queue."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID

from aio_pika import DeliveryMode, ExchangeType, Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange, AbstractIncomingMessage
from aio_pika.exceptions import DeliveryError

from shared.bus import topology
from shared.bus.dispatch import Dispatcher
from shared.bus.faults import BROKER_FAULTS
from shared.bus.frames import EventFrame
from shared.bus.messages import EVENTS
from shared.bus.rabbit_intake import Intake
from shared.bus.topology import RetryPolicy
from shared.clock import Clock
from shared.errors import unavailable
from shared.telemetry import Telemetry

_CONFIRM_SECONDS = 5.0
_STOP_SECONDS = 1.0
"""What was told to stop may take so long to put things in order."""

_DELIVERY_LIMIT = 50
"""Deliveries of one message that may die with their process before the broker itself parks the message."""


class EventPublisher:
    """Publishes the component's own events."""

    def __init__(self, component: str, telemetry: Telemetry) -> None:
        self._component = component
        self._telemetry = telemetry
        self._exchange: AbstractExchange | None = None

    async def open(self, connection: AbstractConnection) -> AbstractChannel | None:
        """Declare the events exchange of a component that has events."""
        self._exchange = None
        if not any(event.owner == self._component for event in EVENTS.values()):
            return None
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        name = topology.events_exchange(self._component)
        self._exchange = await channel.declare_exchange(name, ExchangeType.TOPIC, durable=True)
        return channel

    async def publish(self, frame: EventFrame) -> None:
        """Publish and await the confirmation; an event that has subscribers must reach a queue."""
        if self._exchange is None:
            raise unavailable("not connected to the broker")
        mandatory = bool(topology.subscribers_of(frame.subject))
        try:
            await self._exchange.publish(_message(frame), frame.subject, mandatory=mandatory, timeout=_CONFIRM_SECONDS)
        except DeliveryError:
            raise unavailable(f"no queue took {frame.subject}: its subscribers were never started") from None
        self._telemetry.events_published.labels(frame.subject).inc()


class EventSubscriber:
    """Takes in the events that the component subscribed to."""

    def __init__(
        self,
        component: str,
        dispatcher: Dispatcher,
        telemetry: Telemetry,
        clock: Clock,
        retry: RetryPolicy,
        prefetch: int,
        lose: Callable[[], None],
    ) -> None:
        """`prefetch` events are worked on at once, in each lane where they have lanes."""
        self._component = component
        self._lose = lose
        self._dispatcher = dispatcher
        self._telemetry = telemetry
        self._clock = clock
        self._retry = retry
        self._prefetch = prefetch
        self._places: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(prefetch))
        self._begun: set[asyncio.Task[None]] = set()
        self._leaving = False
        self._intake = Intake[AbstractIncomingMessage]()
        self._channel: AbstractChannel | None = None

    async def open(self, connection: AbstractConnection) -> AbstractChannel | None:
        """Declare the queues and begin to take in.

        The main queue gives failed events to a retry queue, which gives them back after its delay; one queue per delay,
        since a broker only expires what is at a queue's head. All are quorum queues: they survive a lost node.

        Each lane has a queue too, for what finds all of the lane's places taken. That is given on without an end, so
        that the main queue holds up no other lane, and taken from there by whichever replica has a place.
        """
        if not self._dispatcher.events or self._leaving:
            return None
        channel = self._channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        main, dead = topology.events_queue(self._component), topology.dead_queue(self._component)
        parked = await channel.declare_queue(dead, durable=True, arguments={"x-queue-type": "quorum"})
        for delay in self._retry.delays:
            name = topology.retry_queue(self._component, delay)
            await channel.declare_queue(name, durable=True, arguments=_giving_back(delay, main))
        lanes = {
            lane: await channel.declare_queue(
                self._lane_queue(lane),
                durable=True,
                arguments={**_giving_back(self._retry.lane_seconds, main), "x-delivery-limit": _DELIVERY_LIMIT},
            )
            for lane in topology.lanes(self._component)
        }
        queue = await channel.declare_queue(
            main,
            durable=True,
            arguments={
                "x-queue-type": "quorum",
                "x-delivery-limit": _DELIVERY_LIMIT,
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": dead,
            },
        )
        replay = await channel.declare_exchange(
            topology.replay_exchange(self._component), ExchangeType.DIRECT, durable=True
        )
        await queue.bind(replay, main)
        await parked.bind(replay, dead)
        for subject, (event, _handler) in self._dispatcher.events.items():
            exchange = await channel.declare_exchange(
                topology.events_exchange(event.owner), ExchangeType.TOPIC, durable=True
            )
            await queue.bind(exchange, subject)
        # Room for every place of every lane, and as much for what is on its way to a lane's queue.
        await channel.set_qos(prefetch_count=self._prefetch * (len(lanes) + 1))
        await self._intake.begin(queue.consume, queue.cancel, partial(self._on_message, waits=False))
        await channel.set_qos(prefetch_count=self._prefetch)
        for waiting in lanes.values():
            await self._intake.begin(waiting.consume, waiting.cancel, partial(self._on_message, waits=True))
        return channel

    async def drain(self) -> None:
        """Take no more events and finish those begun; the caller sets the deadline."""
        self._leaving = True
        await self._intake.drain()

    def abandon(self) -> None:
        """Begin no event whose channel is gone; the broker delivers them again.

        Those begun go on: what they do, as sending a message, is done better once than half and then again.
        """
        self._intake.abandon()

    async def close(self, seconds: float) -> None:
        """Give what was begun, and went on without its channel, so many seconds; stop what is not done then."""
        if self._begun:
            await asyncio.wait(self._begun, timeout=max(0.0, seconds))
        for handler in self._begun:
            handler.cancel()
        if self._begun:
            await asyncio.wait(self._begun, timeout=_STOP_SECONDS)

    async def _on_message(self, message: AbstractIncomingMessage, *, waits: bool) -> None:
        """Work on an event; one whose lane is full waits for a place, or is put into the lane's queue."""
        try:
            await self._take_in(message, waits=waits)
        except BROKER_FAULTS:
            # The event was not acknowledged: on a new connection, with its queues declared anew, it comes again.
            self._lose()

    async def _take_in(self, message: AbstractIncomingMessage, *, waits: bool) -> None:
        frame = _frame(message)
        if frame is None:
            await self._park(message, "not an event: no usable message id")
            return
        lane = self._dispatcher.lane(frame)
        if lane is None:
            await self._work_on(message, frame)
        elif self._places[lane].locked() and not waits:
            await self._hand_over(_message(frame, attempt=frame.attempt), self._lane_queue(lane))
            await message.ack()
        else:
            places = self._places[lane]
            await places.acquire()
            if self._leaving:
                places.release()
                await message.nack(requeue=True)
                return
            await self._work_on(message, frame, places.release)

    async def _work_on(
        self, message: AbstractIncomingMessage, frame: EventFrame, done: Callable[[], None] = lambda: None
    ) -> None:
        handler = asyncio.create_task(self._dispatcher.take_in(frame))
        self._begun.add(handler)
        handler.add_done_callback(self._begun.discard)
        handler.add_done_callback(lambda _: done())
        try:
            await asyncio.shield(handler)  # the message's own task ends with its channel
        except Exception as error:  # noqa: BLE001 - already logged; what remains is to try again or give up
            await self._again_or_park(message, frame, error)
        else:
            self._telemetry.events_handled.labels(frame.subject, "done").inc()
            await message.ack()

    async def _again_or_park(self, message: AbstractIncomingMessage, frame: EventFrame, error: Exception) -> None:
        delay = self._retry.delay_after(frame.attempt)
        if delay is None:
            await self._park(message, repr(error))
            return
        retry = _message(frame, attempt=frame.attempt + 1)
        await self._hand_over(retry, topology.retry_queue(self._component, delay))
        self._telemetry.events_handled.labels(frame.subject, "retried").inc()
        await message.ack()

    async def _park(self, message: AbstractIncomingMessage, reason: str) -> None:
        subject = _subject(message)
        # Without the broker's own headers: in the dead-letter queue they tell of what the broker itself parked.
        headers = {name: value for name, value in message.headers.items() if not name.startswith("x-")}
        dead = Message(
            message.body,
            content_type=message.content_type,
            type=message.type,
            message_id=message.message_id,
            timestamp=self._clock.now(),
            delivery_mode=DeliveryMode.PERSISTENT,
            headers={**headers, "subject": subject, "reason": reason[:500]},
        )
        await self._hand_over(dead, topology.dead_queue(self._component))
        self._telemetry.events_handled.labels(subject if subject in EVENTS else "unknown", "dead").inc()
        self._telemetry.log.error("event parked", subject=subject, event_id=message.message_id, reason=reason[:500])
        await message.ack()

    def _lane_queue(self, lane: str) -> str:
        return topology.lane_queue(self._component, lane, self._retry.lane_seconds)

    async def _hand_over(self, message: Message, queue: str) -> None:
        assert self._channel is not None
        await self._channel.default_exchange.publish(message, queue, mandatory=True, timeout=_CONFIRM_SECONDS)


def _giving_back(seconds: float, queue: str) -> dict[str, Any]:
    """The arguments of a queue that gives what has been in it for so long to another one."""
    return {
        "x-queue-type": "quorum",
        "x-message-ttl": round(seconds * 1000),
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def _message(frame: EventFrame, *, attempt: int = 1) -> Message:
    return Message(
        frame.body,
        content_type="application/json",
        type="event",
        message_id=str(frame.id),
        delivery_mode=DeliveryMode.PERSISTENT,
        # The subject again, since a retry comes back with the queue's name as its routing key.
        headers={
            "request-id": frame.request_id,
            "subject": frame.subject,
            "attempt": attempt,
            **({"traceparent": frame.traceparent} if frame.traceparent else {}),
        },
    )


def _subject(message: AbstractIncomingMessage) -> str:
    return str(message.headers.get("subject") or message.routing_key or "")


def _frame(message: AbstractIncomingMessage) -> EventFrame | None:
    with suppress(ValueError, TypeError):
        attempt = int(str(message.headers.get("attempt") or 1))
        return EventFrame(
            id=UUID(message.message_id or ""),
            subject=_subject(message),
            body=message.body,
            request_id=str(message.headers.get("request-id") or ""),
            attempt=max(1, attempt),
            traceparent=str(message.headers.get("traceparent") or ""),
        )
    return None
