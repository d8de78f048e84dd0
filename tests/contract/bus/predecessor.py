"""A replica and a caller of the version before groups, as they look on the wire: not one line of the bus's code.

They are what a rolling update runs beside, so nothing here may change with the bus.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

_ISSUED = b'{"expires_at":"2026-01-01T12:00:00Z"}'


@asynccontextmanager
async def old_otp(url: str) -> AsyncIterator[list[str]]:
    """A replica of otp that answers every call alone; yields the types of the messages it was given."""
    given: list[str] = []
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel(publisher_confirms=False)
        exchange = await channel.declare_exchange("otp", aio_pika.ExchangeType.TOPIC, durable=True)
        queue = await channel.declare_queue("rpc.otp", durable=False, arguments={"x-expires": 300})
        for key in ("otp.issue_code.v1", "otp.probe"):
            await queue.bind(exchange, key)

        async def answer(message: AbstractIncomingMessage) -> None:
            given.append(message.type or "")
            if message.type == "call":
                reply = aio_pika.Message(_ISSUED, type="reply", correlation_id=message.correlation_id)
                await channel.default_exchange.publish(reply, message.reply_to or "", mandatory=False)
            await message.ack()

        await queue.consume(answer)
        yield given


async def call_otp(url: str, body: bytes) -> tuple[str, bytes]:
    """The answer that a caller of that version gets to `otp.issue_code.v1`: its type and its body."""
    answered: asyncio.Future[AbstractIncomingMessage] = asyncio.get_running_loop().create_future()

    async def note(message: AbstractIncomingMessage) -> None:
        answered.set_result(message)

    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        replies = await channel.get_queue("amq.rabbitmq.reply-to", ensure=False)
        await replies.consume(note, no_ack=True)
        exchange = await channel.get_exchange("otp", ensure=False)
        call = aio_pika.Message(
            body,
            type="call",
            app_id="identity",
            correlation_id="0",
            reply_to="amq.rabbitmq.reply-to",
            expiration=2.0,
            headers={"request-id": "r", "budget": 2.0},
        )
        await exchange.publish(call, "otp.issue_code.v1", mandatory=True)
        async with asyncio.timeout(2.0):
            message = await answered
        return message.type or "", message.body
