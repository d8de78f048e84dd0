"""Calls over RabbitMQ, the answering half: calls that come alone are answered alone, those of a group in groups."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from shared.bus import groups, topology
from shared.bus.dispatch import Dispatcher
from shared.bus.faults import BROKER_FAULTS
from shared.bus.frames import ReplyFrame, RequestFrame
from shared.bus.rabbit_channel import CallChannel, acknowledge, message_properties, refuse, reply_and_acknowledge
from shared.bus.rabbit_intake import Intake
from shared.telemetry import Telemetry
from shared.turns import Turns

_QUEUE_OUTLIVES_SECONDS = 0.3
"""How long a queue outlives its last consumer: longer than a reconnection takes, short for those who wait."""


@dataclass(slots=True, eq=False)
class _Group:
    """A message with several calls. It is done, and may be acknowledged, when all their replies are sent."""

    unanswered: int
    done: asyncio.Future[None]

    def count_sent(self) -> None:
        self.unanswered -= 1
        if self.unanswered == 0 and not self.done.done():
            self.done.set_result(None)


@dataclass(slots=True, eq=False)
class _Answered:
    """A call of a group whose reply is ready to be sent."""

    group: _Group
    call_id: str
    reply: ReplyFrame


@dataclass(slots=True, eq=False)
class _InHand:
    """A call that is worked on, and where its answer goes."""

    reply_to: str
    call_id: str


class CallServer:
    """Takes requests from the service's queues, as many messages at once as `prefetch` says, and answers each."""

    def __init__(self, component: str, dispatcher: Dispatcher, telemetry: Telemetry, prefetch: int) -> None:
        self._component = component
        self._dispatcher = dispatcher
        self._telemetry = telemetry
        self._prefetch = prefetch
        self._alone, self._grouped = Intake[DeliveredMessage](), Intake[DeliveredMessage]()
        self._in_hand: set[_InHand] = set()
        self._replies: Turns[str, _Answered] = Turns(self._send_together)
        self._sending: set[asyncio.Task[None]] = set()
        self._leaving = False
        self._channel: CallChannel | None = None

    async def open(self, connection: AbstractConnection) -> AbstractChannel | None:
        """Declare the exchange, the queues and their bindings, and begin to answer."""
        if not self._dispatcher.calls:
            return None
        channel = await connection.channel(publisher_confirms=False)
        self._channel = await CallChannel.on(channel)
        await channel.set_qos(prefetch_count=self._prefetch)
        exchange = await channel.declare_exchange(self._component, ExchangeType.TOPIC, durable=True)
        alone = [*self._dispatcher.calls, topology.probe_key(self._component)]
        grouped = [topology.group_key(self._component, "*")]
        for intake, name, keys in (
            (self._alone, topology.calls_queue(self._component), alone),
            (self._grouped, topology.groups_queue(self._component), grouped),
        ):
            await _declare(channel, exchange, name, keys)
            await intake.begin(partial(self._channel.consume, name), self._channel.cancel, self._on_message)
        return channel

    async def drain(self) -> None:
        """Take no more requests and finish those begun; the caller sets the deadline.

        Whoever waits for one of them is told first, since the queue goes with its last consumer.
        """
        self._leaving = True
        for call in list(self._in_hand):
            await self._tell_held(call)
        await asyncio.gather(self._alone.drain(), self._grouped.drain())

    def abandon(self) -> None:
        """Stop working on requests whose channel is gone; the broker gives them to another replica."""
        self._alone.abandon()
        self._grouped.abandon()

    async def _on_message(self, message: DeliveredMessage) -> None:
        kind = message.header.properties.message_type
        with suppress(*BROKER_FAULTS):  # the supervisor reports a lost connection, once for all
            if kind == "probe":
                await acknowledge(message)
            elif message.exchange != self._component:
                # Who may write to the default exchange (to reply) could reach any queue by its name, past the
                # permissions of the service's exchange.
                self._telemetry.log.warning("call past the exchange refused", exchange=message.exchange)
                await refuse(message)
            elif kind == "calls":
                await self._answer_group(message)
            else:
                await self._answer_alone(message)

    async def _answer_alone(self, message: DeliveredMessage) -> None:
        said = message.header.properties
        headers = said.headers or {}
        frame = RequestFrame(
            subject=message.routing_key or "",
            body=message.body,
            caller=said.app_id or "",
            request_id=_text(headers, "request-id"),
            budget=_number(headers, "budget"),
            sent_at=_number(headers, "sent-at-ms") / 1000,
            redelivered=bool(message.redelivered),
            traceparent=_text(headers, "traceparent"),
        )
        call = _InHand(said.reply_to or "", said.correlation_id or "")
        reply = await self._answer(call, frame)
        # Acknowledged with the reply, not before: should this replica die now, another one answers again, or says that
        # it won't.
        if call.reply_to:
            properties = _properties(call, "reply" if reply.ok else "error")
            await reply_and_acknowledge(message, call.reply_to, reply.body, properties)
        else:
            await acknowledge(message)

    async def _answer_group(self, message: DeliveredMessage) -> None:
        # The caller is in the routing key, where the broker has checked it, and with it what may be asked.
        caller = (message.routing_key or "").rpartition(".")[2]
        try:
            calls = groups.decode_calls(message.body, caller, redelivered=bool(message.redelivered))
        except ValueError as error:
            self._telemetry.log.warning("malformed group refused", caller=caller, reason=str(error))
            await refuse(message)
            return
        group = _Group(len(calls), asyncio.get_running_loop().create_future())
        reply_to = message.header.properties.reply_to or ""

        async def answer(call_id: str, frame: RequestFrame) -> None:
            reply = await self._answer(_InHand(reply_to, call_id), frame)
            self._replies.add(reply_to, _Answered(group, call_id, reply))

        # Each in a task of its own, so that none waits for another.
        await asyncio.gather(*(answer(call_id, frame) for call_id, frame in calls))
        await group.done
        await acknowledge(message)

    async def _answer(self, call: _InHand, frame: RequestFrame) -> ReplyFrame:
        self._in_hand.add(call)
        try:
            if self._leaving:  # it was on its way when the consumer was cancelled
                await self._tell_held(call)
            return await self._dispatcher.answer(frame)
        finally:
            self._in_hand.discard(call)

    def _send_together(self, reply_to: str, waiting: list[_Answered]) -> None:
        for replies in groups.portions(waiting, lambda answered: len(answered.reply.body)):
            task = asyncio.create_task(self._send_replies(reply_to, replies))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send_replies(self, reply_to: str, replies: list[_Answered]) -> None:
        body = groups.encode_replies([(answered.call_id, answered.reply) for answered in replies])
        with suppress(*BROKER_FAULTS):  # then the calls are abandoned, and not acknowledged
            await self._send(reply_to, body, message_properties("replies", replies[0].call_id))
            for answered in replies:
                answered.group.count_sent()

    async def _tell_held(self, call: _InHand) -> None:
        await self._send(call.reply_to, b"", _properties(call, "held"))

    async def _send(self, reply_to: str, body: bytes, properties: Basic.Properties) -> None:
        if reply_to and self._channel is not None:
            await self._channel.send("", reply_to, body, properties)


def _properties(call: _InHand, kind: str) -> Basic.Properties:
    return message_properties(kind, call.call_id, content_type="application/json", correlation_id=call.call_id)


async def _declare(channel: AbstractChannel, exchange: AbstractExchange, name: str, keys: Sequence[str]) -> None:
    # Gone soon after its last consumer, so that a call to a service without replicas comes back; not with it, so
    # that the calls in hand survive when the only replica loses its connection and comes back.
    arguments: dict[str, Any] = {"x-expires": round(_QUEUE_OUTLIVES_SECONDS * 1000)}
    queue = await channel.declare_queue(name, durable=False, arguments=arguments)
    for key in keys:
        await queue.bind(exchange, key)


def _text(headers: Mapping[str, Any], name: str) -> str:
    value = headers.get(name)
    return value if isinstance(value, str) else ""


def _number(headers: Mapping[str, Any], name: str) -> float:
    value = headers.get(name)
    return float(value) if isinstance(value, (int, float)) else 0.0
