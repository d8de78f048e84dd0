"""A channel that calls and their replies travel on, spoken to as aiormq has it.

aio-pika connects and declares. Its objects around each message, and its waiting until each is written, took a fifth of
a lone call: 945 µs of Python on both sides with them, 740 without.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Self

from aio_pika.abc import AbstractChannel
from aiormq import Channel
from aiormq.abc import ChannelFrame, DeliveredMessage, FrameType
from aiormq.exceptions import ChannelInvalidStateError
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

_TRANSIENT = 1


def message_properties(
    kind: str, message_id: str, *, life_seconds: float | None = None, **more: Any
) -> Basic.Properties:
    """What is said around a message: its kind, and an id that no other message on its way has on this channel.

    After `life_seconds` in a queue it is dropped; `more` are further properties by AMQP's names for them.
    """
    expiration = None if life_seconds is None else str(max(0, int(life_seconds * 1000)))
    # With an id, since a message without one is given a UUID at each publishing.
    return Basic.Properties(
        message_type=kind, message_id=message_id, delivery_mode=_TRANSIENT, expiration=expiration, **more
    )


class CallChannel:
    """Publishes transient messages and takes some in."""

    def __init__(self, underlay: Channel) -> None:
        self._underlay = underlay

    @classmethod
    async def on(cls, channel: AbstractChannel) -> Self:
        """The same channel, once it is open."""
        underlay = await channel.get_underlay_channel()
        assert isinstance(underlay, Channel)
        return cls(underlay)

    async def send(self, exchange: str, key: str, body: bytes, properties: Basic.Properties) -> None:
        """Publish without more ado: it goes out behind what went before, and nobody says what became of it."""
        await self._underlay.basic_publish(
            body, exchange=exchange, routing_key=key, properties=properties, mandatory=False, wait=False
        )

    async def send_confirmed(
        self, exchange: str, key: str, body: bytes, properties: Basic.Properties, *, seconds: float
    ) -> None:
        """Publish and await that the broker has it; for channels that were opened with confirmations.

        Raises `PublishError` when no queue took it, `TimeoutError` when it was not confirmed within `seconds`.
        """
        await self._underlay.basic_publish(
            body,
            exchange=exchange,
            routing_key=key,
            properties=properties,
            mandatory=True,
            timeout=seconds,
            wait=False,  # that it was written, its confirmation says too
        )

    async def consume(
        self, queue: str, work: Callable[[DeliveredMessage], Coroutine[Any, Any, None]], *, no_ack: bool = False
    ) -> str:
        """Have `work` done on each message of a queue, in a task of its own; returns by what to `cancel` it."""
        begun = await self._underlay.basic_consume(queue, work, no_ack=no_ack)
        return str(begun.consumer_tag)

    async def cancel(self, tag: str) -> None:
        """Take in no more."""
        await self._underlay.basic_cancel(tag)


async def reply_and_acknowledge(message: DeliveredMessage, key: str, body: bytes, properties: Basic.Properties) -> None:
    """Publish a reply through the default exchange, and have the broker forget the message that it answers.

    On the channel that the message came by. Raises `ChannelInvalidStateError` when that is closed.
    """
    channel = message.channel
    assert isinstance(channel, Channel)
    if channel.is_closed:
        raise ChannelInvalidStateError("the channel that the message came by is closed")
    if len(body) >= channel.max_content_size:
        await channel.basic_publish(body, routing_key=key, properties=properties, wait=False)
        await acknowledge(message)
        return
    # In one write, for which the library has no method: a broker that is woken once, and one frame less to wait for.
    frames: list[FrameType] = [
        Basic.Publish(routing_key=key),
        ContentHeader(properties=properties, body_size=len(body)),
        ContentBody(body),
        Basic.Ack(_tag(message)),
    ]
    await channel.write_queue.put(ChannelFrame.marshall(channel_number=channel.number, frames=frames))


async def acknowledge(message: DeliveredMessage) -> None:
    """Have the broker forget a message, on the channel that it came by.

    Returns when that is written, with all that was sent on this connection before.
    """
    await message.channel.basic_ack(_tag(message))


async def refuse(message: DeliveredMessage) -> None:
    """Have the broker drop a message."""
    await message.channel.basic_reject(_tag(message), requeue=False)


def _tag(message: DeliveredMessage) -> int:
    assert message.delivery_tag is not None  # only what was taken out of a queue has one, and nothing else comes here
    return message.delivery_tag
