"""What aio-pika may raise when the broker or the way to it fails."""

import asyncio

from aio_pika.exceptions import AMQPError, ChannelInvalidStateError

BROKER_FAULTS = (OSError, AMQPError, ChannelInvalidStateError, TimeoutError, asyncio.InvalidStateError)
