"""Calls over RabbitMQ: the asking half and the answering half.

A request goes to the exchange of its service, mandatory and transient, with the caller's remaining time as its TTL;
the reply comes back by direct reply-to on the channel that sent the request.
Coalescing has its place here: between `request` and `_publish`, and between `_answer` and `_reply`.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

from aio_pika import DeliveryMode, ExchangeType, Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange, AbstractIncomingMessage, HeadersType
from aio_pika.exceptions import PublishError

from shared.bus import topology
from shared.bus.dispatch import Dispatcher
from shared.bus.faults import BROKER_FAULTS
from shared.bus.frames import ReplyFrame, RequestFrame
from shared.bus.messages import Call
from shared.bus.rabbit_intake import Intake
from shared.errors import Error, ErrorCode, unavailable
from shared.telemetry import Telemetry

REPLY_TO = "amq.rabbitmq.reply-to"
PROBE_SECONDS = 0.25
"""A call that waits longer makes its caller ask the broker whether anybody still serves it."""

_QUEUE_OUTLIVES_SECONDS = 0.3
"""How long the queue outlives its last consumer: longer than a reconnection takes, short for those who wait."""

_CONFIRM_SECONDS = 5.0


@dataclass(slots=True)
class _Pending:
    owner: str
    since: float
    future: asyncio.Future[ReplyFrame]
    held: bool = False


class CallClient:
    """Sends requests and hands each reply to whoever waits for it."""

    def __init__(self, component: str, lose: Callable[[], None]) -> None:
        self._component = component
        self._lose = lose
        self._exchanges: dict[str, AbstractExchange] = {}
        self._pending: dict[str, _Pending] = {}
        self._ids = count()
        self._prober: asyncio.Task[None] | None = None

    async def open(self, connection: AbstractConnection) -> AbstractChannel | None:
        """Declare what is needed to call; a component that calls nobody needs nothing."""
        owners = topology.owners_called_by(self._component)
        if not owners:
            return None
        # Confirmed only because aiormq tells of a returned message on a confirmed channel alone.
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        replies = await channel.get_queue(REPLY_TO, ensure=False)
        await replies.consume(self._on_reply, no_ack=True)
        # Declared by the callers too: publishing to an exchange that is not there yet would close the channel.
        self._exchanges = {
            owner: await channel.declare_exchange(owner, ExchangeType.TOPIC, durable=True) for owner in owners
        }
        self._prober = asyncio.create_task(self._probe())
        return channel

    def fail_all(self, reason: str) -> None:
        """Fail every call that waits: on a new connection no answer to it can come."""
        if self._prober is not None:
            self._prober.cancel()
        self._exchanges = {}
        for pending in self._pending.values():
            _fail(pending, reason)

    async def request(self, kind: type[Call[Any]], frame: RequestFrame) -> ReplyFrame:
        """Send and await; raises `unavailable` or `deadline_exceeded`."""
        exchange = self._exchanges.get(kind.owner)
        if exchange is None:
            raise unavailable("not connected to the broker")
        loop = asyncio.get_running_loop()
        call_id = f"{next(self._ids):x}"
        pending = _Pending(kind.owner, loop.time(), loop.create_future())
        self._pending[call_id] = pending
        try:
            async with asyncio.timeout(frame.budget):
                await self._publish(exchange, call_id, frame)
                return await pending.future
        except TimeoutError:
            message = f"{kind.owner} did not answer {kind.subject} within {frame.budget:.2f} s"
            raise Error(ErrorCode.DEADLINE_EXCEEDED, message, retry_after=1.0) from None
        finally:
            del self._pending[call_id]
            pending.future.cancel()

    async def _publish(self, exchange: AbstractExchange, call_id: str, frame: RequestFrame) -> None:
        headers: HeadersType = {
            "request-id": frame.request_id,
            "budget": frame.budget,
            # A whole number: a float travels with 24 bits (pamqp), in which a time of our days is off by a minute.
            "sent-at-ms": round(frame.sent_at * 1000),
        }
        message = Message(
            frame.body,
            content_type="application/json",
            type="call",
            app_id=frame.caller,
            correlation_id=call_id,
            reply_to=REPLY_TO,
            expiration=frame.budget,
            delivery_mode=DeliveryMode.NOT_PERSISTENT,
            headers=headers,
        )
        try:
            await exchange.publish(message, frame.subject, mandatory=True)
        except PublishError:  # returned: there is no queue to put it in
            raise unavailable(f"nobody serves {exchange.name}") from None

    async def _on_reply(self, message: AbstractIncomingMessage) -> None:
        pending = self._pending.get(message.correlation_id or "")
        if pending is None or pending.future.done():
            return
        if message.type == "held":
            pending.held = True
        else:
            pending.future.set_result(ReplyFrame(ok=message.type == "reply", body=message.body))

    async def _probe(self) -> None:
        """Find out when the last replica of a service dies while calls wait for it.

        Its queue is deleted soon after it and what waited there is dropped without a word, so a caller would learn it
        only from its deadline. A mandatory message with no life time is returned when there is no queue, and never
        waits.
        A call that a leaving replica said it holds is left alone: it will be answered although the queue is gone.
        """
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            before = loop.time() - PROBE_SECONDS
            overdue = [p for p in self._pending.values() if p.since < before and not p.held]
            for owner in {pending.owner for pending in overdue}:
                probe = Message(b"", type="probe", expiration=0)
                try:
                    await self._exchanges[owner].publish(
                        probe, topology.probe_key(owner), mandatory=True, timeout=_CONFIRM_SECONDS
                    )
                except PublishError:
                    for pending in overdue:
                        if pending.owner == owner:
                            _fail(pending, f"the last replica of {owner} is gone")
                except BROKER_FAULTS:
                    self._lose()
                    return


def _fail(pending: _Pending, reason: str) -> None:
    if not pending.future.done():
        pending.future.set_exception(unavailable(reason))


class CallServer:
    """Takes requests from the service's queue, as many at once as `prefetch` says, and answers each."""

    def __init__(self, component: str, dispatcher: Dispatcher, telemetry: Telemetry, prefetch: int) -> None:
        self._component = component
        self._dispatcher = dispatcher
        self._telemetry = telemetry
        self._prefetch = prefetch
        self._intake = Intake()
        self._in_hand: set[AbstractIncomingMessage] = set()
        self._leaving = False
        self._channel: AbstractChannel | None = None

    async def open(self, connection: AbstractConnection) -> AbstractChannel | None:
        """Declare the exchange, the queue and its bindings, and begin to answer."""
        if not self._dispatcher.calls:
            return None
        channel = self._channel = await connection.channel(publisher_confirms=False)
        await channel.set_qos(prefetch_count=self._prefetch)
        exchange = await channel.declare_exchange(self._component, ExchangeType.TOPIC, durable=True)
        # Gone soon after its last consumer, so that a call to a service without replicas comes back; not with it, so
        # that the calls in hand survive when the only replica loses its connection and comes back.
        queue = await channel.declare_queue(
            topology.calls_queue(self._component),
            durable=False,
            arguments={"x-expires": round(_QUEUE_OUTLIVES_SECONDS * 1000)},
        )
        for key in (*self._dispatcher.calls, topology.probe_key(self._component)):
            await queue.bind(exchange, key)
        await self._intake.begin(queue, self._on_message)
        return channel

    async def drain(self) -> None:
        """Take no more requests and finish those begun; the caller sets the deadline.

        Whoever waits for one of them is told first, since the queue goes with its last consumer.
        """
        self._leaving = True
        for message in list(self._in_hand):
            await self._reply(message, "held", b"")
        await self._intake.drain()

    def abandon(self) -> None:
        """Stop working on requests whose channel is gone; the broker gives them to another replica."""
        self._intake.abandon()

    async def _on_message(self, message: AbstractIncomingMessage) -> None:
        with suppress(*BROKER_FAULTS):  # the supervisor reports a lost connection, once for all
            if message.type == "probe":
                await message.ack()
            elif message.exchange != self._component:
                # Who may write to the default exchange (to reply) could reach any queue by its name, past the
                # permissions of the service's exchange.
                self._telemetry.log.warning("call past the exchange refused", exchange=message.exchange)
                await message.reject(requeue=False)
            else:
                self._in_hand.add(message)
                try:
                    await self._answer(message)
                finally:
                    self._in_hand.discard(message)

    async def _answer(self, message: AbstractIncomingMessage) -> None:
        if self._leaving:  # it was on its way when the consumer was cancelled
            await self._reply(message, "held", b"")
        reply = await self._dispatcher.answer(
            RequestFrame(
                subject=message.routing_key or "",
                body=message.body,
                caller=message.app_id or "",
                request_id=_text(message.headers, "request-id"),
                budget=_number(message.headers, "budget"),
                sent_at=_number(message.headers, "sent-at-ms") / 1000,
                redelivered=bool(message.redelivered),
            )
        )
        await self._reply(message, "reply" if reply.ok else "error", reply.body)
        # Acknowledged last: should this replica die now, another one answers again or says that it won't.
        await message.ack()

    async def _reply(self, message: AbstractIncomingMessage, kind: str, body: bytes) -> None:
        if message.reply_to is None or self._channel is None:
            return
        answer = Message(
            body,
            content_type="application/json",
            type=kind,
            correlation_id=message.correlation_id,
            delivery_mode=DeliveryMode.NOT_PERSISTENT,
        )
        await self._channel.default_exchange.publish(answer, message.reply_to, mandatory=False)


def _text(headers: HeadersType, name: str) -> str:
    value = headers.get(name)
    return value if isinstance(value, str) else ""


def _number(headers: HeadersType, name: str) -> float:
    value = headers.get(name)
    return float(value) if isinstance(value, (int, float)) else 0.0
