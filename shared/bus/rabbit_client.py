"""Calls over RabbitMQ, the asking half.

A request goes to the exchange of its service, mandatory and transient, with the caller's remaining time as its TTL;
the reply comes back by direct reply-to on the channel that sent the request.

Calls to the same service that are made in one turn of the event loop travel in one message, the replies that are ready
together as well: a message costs more Python than an HTTP request, a share in one much less (docs/performance.md).
CPU-heavy calls travel alone, so that they spread over replicas.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import PublishError
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from shared.bus import groups, topology
from shared.bus.faults import BROKER_FAULTS
from shared.bus.frames import ReplyFrame, RequestFrame
from shared.bus.messages import Call
from shared.bus.rabbit_channel import CallChannel, message_properties
from shared.deadlines import Deadlines
from shared.errors import Error, ErrorCode, unavailable
from shared.telemetry import Telemetry
from shared.turns import Turns

REPLY_TO = "amq.rabbitmq.reply-to"
PROBE_SECONDS = 0.25
"""A call that waits longer makes its caller ask the broker whether anybody still serves it."""

MUTE_SECONDS = 0.5
"""A broker that has not confirmed a probe for so long is taken for frozen, until it does: calls fail at once.

With the wait before the probe that makes a second, in which those who call learn that nobody will answer.
"""

_CONFIRM_SECONDS = 5.0

_LAG_SECONDS = 0.1
"""Given to a confirmation that is there already but was not read, since this process itself stood still."""

_FROZEN = "the broker does not answer"

_ALONE_SECONDS = 1.0
"""How long no group is offered to a service none of whose replicas took one."""


@dataclass(slots=True)
class _Pending:
    id: str
    kind: type[Call[Any]]
    frame: RequestFrame
    future: asyncio.Future[ReplyFrame]
    since: float
    probe_key: str
    held: bool = False

    def fail(self, error: Error) -> None:
        if not self.future.done():
            self.future.set_exception(error)

    def expire(self) -> None:
        owner, subject = self.kind.owner, self.kind.subject
        message = f"{owner} did not answer {subject} within {self.frame.budget:.2f} s"
        self.fail(Error(ErrorCode.DEADLINE_EXCEEDED, message, retry_after=1.0))


class CallClient:
    """Sends requests and hands each reply to whoever waits for it."""

    def __init__(self, component: str, telemetry: Telemetry, lose: Callable[[], None]) -> None:
        self._component = component
        self._group_size = telemetry.group_size
        self._lose = lose
        self._channel: CallChannel | None = None
        self._owners = topology.owners_called_by(component)
        self._pending: dict[str, _Pending] = {}
        self._deadlines = Deadlines()
        self._ids = count()
        self._turns: Turns[str, _Pending] = Turns(self._send_together)
        self._alone_until: dict[str, float] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._prober: asyncio.Task[None] | None = None
        self.answering = asyncio.Event()
        """Set unless the broker is frozen."""
        self.answering.set()

    async def open(self, connection: AbstractConnection) -> AbstractChannel | None:
        """Declare what is needed to call; a component that calls nobody needs nothing."""
        if not self._owners:
            return None
        # Confirmed only because aiormq tells of a returned message on a confirmed channel alone.
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        calls = await CallChannel.on(channel)
        await calls.consume(REPLY_TO, self._on_reply, no_ack=True)
        # Declared by the callers too: publishing to an exchange that is not there yet would close the channel.
        for owner in self._owners:
            await channel.declare_exchange(owner, ExchangeType.TOPIC, durable=True)
        self._channel = calls
        self._prober = asyncio.create_task(self._probe())
        return channel

    def fail_all(self, reason: str) -> None:
        """Fail every call that waits: on a new connection no answer to it can come."""
        if self._prober is not None:
            self._prober.cancel()
        self._channel = None
        self._fail_pending(reason)

    def _fail_pending(self, reason: str) -> None:
        for pending in self._pending.values():
            pending.fail(unavailable(reason))

    async def request(self, kind: type[Call[Any]], frame: RequestFrame) -> ReplyFrame:
        """Send and await; raises `unavailable` or `deadline_exceeded`."""
        if self._channel is None or kind.owner not in self._owners:
            raise unavailable("not connected to the broker")
        if not self.answering.is_set():
            raise unavailable(_FROZEN)
        loop = asyncio.get_running_loop()
        probe_key = topology.probe_key(kind.owner)
        pending = _Pending(f"{next(self._ids):x}", kind, frame, loop.create_future(), loop.time(), probe_key)
        self._pending[pending.id] = pending
        self._deadlines.watch(pending.id, frame.budget, pending.expire)
        try:
            if kind.cpu_heavy:
                self._spawn(self._send_alone(pending))
            else:
                self._turns.add(kind.owner, pending)
            return await pending.future
        finally:
            self._deadlines.forget(pending.id)
            del self._pending[pending.id]

    def _send_together(self, owner: str, waiting: list[_Pending]) -> None:
        alone = asyncio.get_running_loop().time() < self._alone_until.get(owner, 0.0)
        wanted = [pending for pending in waiting if not pending.future.done()]
        for group in groups.portions(wanted, lambda pending: len(pending.frame.body)):
            self._group_size.labels(owner).observe(len(group))
            if alone or len(group) == 1:
                for pending in group:
                    self._spawn(self._send_alone(pending))
            else:
                self._spawn(self._send_group(owner, group))

    def _spawn(self, sending: Any) -> None:
        task = asyncio.create_task(sending)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send_alone(self, pending: _Pending) -> None:
        frame = pending.frame
        properties = message_properties(
            "call",
            pending.id,
            life_seconds=frame.budget,
            content_type="application/json",
            app_id=frame.caller,
            correlation_id=pending.id,
            reply_to=REPLY_TO,
            headers={
                "request-id": frame.request_id,
                "budget": frame.budget,
                # A whole number: a float travels with 24 bits (pamqp), in which a time of our days is off by a minute.
                "sent-at-ms": round(frame.sent_at * 1000),
                **({"traceparent": frame.traceparent} if frame.traceparent else {}),
            },
        )
        owner = pending.kind.owner
        if not await self._publish(owner, frame.subject, frame.body, properties, [pending]):
            pending.fail(unavailable(f"nobody serves {owner}"))

    async def _send_group(self, owner: str, group: Sequence[_Pending]) -> None:
        key = topology.group_key(owner, self._component)
        for pending in group:
            pending.probe_key = key
        body = groups.encode_calls([(pending.id, pending.frame) for pending in group])
        # The longest: whoever has less time is refused by the service, and has given up by then.
        longest = max(pending.frame.budget for pending in group)
        properties = message_properties("calls", group[0].id, life_seconds=longest, reply_to=REPLY_TO)
        if await self._publish(owner, key, body, properties, group):
            return
        # Nobody has seen it: all replicas there are may be of a version that takes no groups.
        self._alone_until[owner] = asyncio.get_running_loop().time() + _ALONE_SECONDS
        for pending in group:
            pending.probe_key = topology.probe_key(owner)
            self._spawn(self._send_alone(pending))

    async def _publish(
        self, owner: str, key: str, body: bytes, properties: Basic.Properties, senders: Sequence[_Pending]
    ) -> bool:
        """Whether there was a queue to put the message in; any other fault fails those whose message it is."""
        try:
            await self._send(owner, key, body, properties)
        except PublishError:
            return False
        except BROKER_FAULTS as fault:
            for pending in senders:
                pending.fail(unavailable(f"{pending.frame.subject} could not be sent: {fault!r}"))
        return True

    async def _send(self, owner: str, key: str, body: bytes, properties: Basic.Properties) -> None:
        if self._channel is None:
            raise ConnectionError("disconnected meanwhile")
        await self._channel.send_confirmed(owner, key, body, properties, seconds=_CONFIRM_SECONDS)

    async def _on_reply(self, message: DeliveredMessage) -> None:
        said = message.header.properties
        if said.message_type == "replies":
            with suppress(ValueError):  # then those who wait learn it from their deadline
                for call_id, reply in groups.decode_replies(message.body):
                    self._hand_over(call_id, reply)
        elif said.message_type == "held":
            if pending := self._pending.get(said.correlation_id or ""):
                pending.held = True
        else:
            ok = said.message_type == "reply"
            self._hand_over(said.correlation_id or "", ReplyFrame(ok=ok, body=message.body))

    def _hand_over(self, call_id: str, reply: ReplyFrame) -> None:
        pending = self._pending.get(call_id)
        if pending is not None and not pending.future.done():
            pending.future.set_result(reply)

    async def _probe(self) -> None:
        """Find out when the last replica of a service dies while calls wait for it.

        Its queue is deleted soon after it and what waited there is dropped without a word, so a caller would learn it
        only from its deadline. A mandatory message with no life time is returned when there is no queue, and never
        waits.
        A call that a leaving replica said it holds is left alone: it will be answered although the queue is gone.
        A broker that does not even confirm a probe is frozen, or the way to it is: whoever calls is told so.
        """
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            before = loop.time() - PROBE_SECONDS
            overdue = [p for p in self._pending.values() if p.since < before and not p.held]
            for owner, key in {(pending.kind.owner, pending.probe_key) for pending in overdue}:
                probe = message_properties("probe", f"{next(self._ids):x}", life_seconds=0)
                try:
                    await self._confirmed(self._send(owner, key, b"", probe))
                except PublishError:
                    for pending in overdue:
                        if pending.probe_key == key:
                            pending.fail(unavailable(f"the last replica of {owner} is gone"))
                except BROKER_FAULTS:
                    self._lose()
                    return

    async def _confirmed(self, publishing: Coroutine[Any, Any, object]) -> None:
        """Await the confirmation of a probe; calls fail while it is overdue. Raises what publishing raises."""
        confirmation = asyncio.ensure_future(publishing)
        confirmation.add_done_callback(lambda done: done.cancelled() or done.exception())  # or asyncio complains
        try:
            _, waiting = await asyncio.wait({confirmation}, timeout=MUTE_SECONDS)
            if waiting:
                _, waiting = await asyncio.wait({confirmation}, timeout=_LAG_SECONDS)
            if waiting:
                self.answering.clear()
                self._fail_pending(_FROZEN)
            await confirmation
        finally:
            self.answering.set()
            confirmation.cancel()
