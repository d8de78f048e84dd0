"""Parked events, for operators: looked at, put back into their queue, or dropped.

Whoever looks takes each message and gives it back unacknowledged. A broker of version 4 counts that, and drops for good
what was given back twenty times (rabbitmq/rabbitmq-server#11937); so what was looked at often is written anew.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aio_pika
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, HeadersType
from aio_pika.exceptions import DeliveryError
from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity

from shared.bus import topology
from shared.bus.faults import BROKER_FAULTS, broker_reason
from shared.bus.lenient import read_leniently
from shared.errors import Error, ErrorCode, unavailable

RETURNS = 10
"""So often a parked event is given back before it is written anew."""

_CONNECT_SECONDS = 4.0
_STEP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that was given up: after how many attempts, why and when, as far as that is known."""

    service: str
    id: str
    subject: str
    attempts: int | None
    reason: str
    parked_at: datetime | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of a dead-letter queue, and how many are behind it."""

    letters: list[DeadLetter]
    more: int


class DeadLetters:
    """The dead-letter queues of all services, by the operator's user."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator["DeadLetters"]:
        """Connect. Raises `unavailable` when the broker cannot be reached, or goes away meanwhile.

        Raises `forbidden` when its user may not do this: the broker has the permissions of an earlier version.
        """
        read_leniently()
        try:
            connection = await aio_pika.connect(url, timeout=_CONNECT_SECONDS)
        except (*BROKER_FAULTS, ValueError) as fault:
            raise unavailable(f"the broker cannot be reached: {broker_reason(fault)}") from None
        async with connection:
            try:
                yield cls(connection)
            except ChannelAccessRefused as refusal:
                message = f"the broker refuses, its permissions are of another version: {refusal}"
                raise Error(ErrorCode.FORBIDDEN, message) from None
            except BROKER_FAULTS as fault:
                raise unavailable(f"the broker failed: {fault!r}") from None

    async def look(self, service: str, limit: int) -> Look:
        """At most `limit` dead letters of `service`, the oldest of these first; nothing is changed.

        Which ones is up to the broker, once some have been looked at and given back.
        """
        letters: list[DeadLetter] = []
        more = 0
        async with self._visit() as visit:
            async for message, behind in visit.parked(service):
                letter = _letter(service, message)
                letters.append(letter)
                await visit.leave(letter, message)
                more = behind
                if len(letters) == limit:
                    break
        return Look(sorted(letters, key=_age), more)

    async def replay(self, service: str, event_id: str | None) -> list[DeadLetter]:
        """Put one, or all for None, back into the service's queue, under its id and as if never tried; returns them.

        Each is in its queue before it leaves the dead-letter queue. Should this process die between the two it is in
        both, and is recognised by its id when it comes again.
        """
        return await self._settle(service, event_id, topology.events_queue(service))

    async def drop(self, service: str, event_id: str | None) -> list[DeadLetter]:
        """Remove one, or all for None, for good; returns them."""
        return await self._settle(service, event_id, None)

    async def _settle(self, service: str, event_id: str | None, queue: str | None) -> list[DeadLetter]:
        settled: list[DeadLetter] = []
        async with self._visit() as visit:
            async for message, _ in visit.parked(service):
                letter = _letter(service, message)
                if event_id is not None and event_id != letter.id:
                    await visit.leave(letter, message)
                    continue
                if queue is not None:
                    await visit.publish(service, _afresh(letter, message), queue)
                await message.ack()
                settled.append(letter)
        return settled

    @asynccontextmanager
    async def _visit(self) -> AsyncIterator["_Visit"]:
        """A visit on a channel of its own: with its end the broker has back whatever was not settled."""
        async with self._connection.channel(publisher_confirms=True, on_return_raises=True) as channel:
            visit = _Visit(channel)
            yield visit
            await visit.give_back()


class _Visit:
    def __init__(self, channel: AbstractChannel) -> None:
        self._channel = channel
        self._left: AbstractIncomingMessage | None = None

    async def parked(self, service: str) -> AsyncIterator[tuple[AbstractIncomingMessage, int]]:
        """What is parked now, each with the number of those behind it.

        Not what comes to be parked meanwhile: that may be what was just put back.
        """
        queue = await self._channel.get_queue(topology.dead_queue(service), ensure=False)
        behind: int | None = None
        while behind is None or behind > 0:
            try:
                message = await queue.get(fail=False, timeout=_STEP_SECONDS)
            except ChannelNotFoundEntity:  # it was never started, so it has given up nothing
                return
            if message is None:
                return
            behind = (message.message_count or 0) if behind is None else behind - 1
            yield message, behind

    async def leave(self, letter: DeadLetter, message: AbstractIncomingMessage) -> None:
        """Have the message given back at the end, or write it anew where that was done too often."""
        returns = message.headers.get("x-delivery-count")
        if isinstance(returns, int) and returns >= RETURNS:
            await self.publish(letter.service, _as_parked(letter, message), topology.dead_queue(letter.service))
            await message.ack()
        else:
            self._left = message

    async def publish(self, service: str, message: Message, queue: str) -> None:
        """Publish into the service's queue of that name, with the broker's confirmation."""
        exchange = await self._channel.get_exchange(topology.replay_exchange(service), ensure=False)
        try:
            await exchange.publish(message, queue, mandatory=True, timeout=_STEP_SECONDS)
        except (DeliveryError, ChannelNotFoundEntity):
            raise unavailable(f"no way leads back: {service} was never started in this version") from None

    async def give_back(self) -> None:
        """Return what was left, all at once, rather than leave it to the end of the channel, which is noticed later."""
        if self._left is not None:
            await self._left.nack(multiple=True)


def _afresh(letter: DeadLetter, message: AbstractIncomingMessage) -> Message:
    return _copy(letter, message, {"attempt": 1})


def _as_parked(letter: DeadLetter, message: AbstractIncomingMessage) -> Message:
    copy = _copy(letter, message, {"reason": letter.reason})
    if letter.attempts is not None:
        copy.headers["attempt"] = letter.attempts
    if letter.parked_at is not None:
        copy.timestamp = letter.parked_at
    return copy


def _copy(letter: DeadLetter, message: AbstractIncomingMessage, headers: dict[str, Any]) -> Message:
    return Message(
        message.body,
        content_type=message.content_type,
        type=message.type,
        message_id=message.message_id,
        delivery_mode=DeliveryMode.PERSISTENT,
        headers={"request-id": message.headers.get("request-id"), "subject": letter.subject, **headers},
    )


def _letter(service: str, message: AbstractIncomingMessage) -> DeadLetter:
    headers = message.headers
    death = _death(headers)
    reason = headers.get("reason") or f"parked by the broker: {death.get('reason', 'it does not say why')}"
    at = message.timestamp or death.get("time")
    attempt = str(headers.get("attempt", ""))
    return DeadLetter(
        service=service,
        id=message.message_id or "",
        subject=str(headers.get("subject") or message.routing_key or ""),
        attempts=int(attempt) if attempt.isdecimal() else None,
        reason=str(reason),
        parked_at=at if isinstance(at, datetime) else None,
        body=message.body,
    )


def _age(letter: DeadLetter) -> tuple[bool, float]:
    return letter.parked_at is None, letter.parked_at.timestamp() if letter.parked_at else 0.0


def _death(headers: HeadersType) -> dict[str, Any]:
    """What the broker says about a message that it parked itself."""
    deaths = headers.get("x-death")
    newest = deaths[0] if isinstance(deaths, list) and deaths else None
    return newest if isinstance(newest, dict) else {}
