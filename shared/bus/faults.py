"""What aio-pika may raise when the broker or the way to it fails, and how it is told."""

import asyncio

from aio_pika.exceptions import AMQPError, ChannelInvalidStateError
from aiormq.exceptions import InvalidFrameError

from shared.errors import reason

BROKER_FAULTS = (OSError, AMQPError, ChannelInvalidStateError, TimeoutError, asyncio.InvalidStateError)


def broker_reason(fault: BaseException) -> str:
    """Why a connection to the broker failed, in one line that repeats nothing secret."""
    # What the broker says as it closes the connection at this step, aiormq keeps to itself.
    if isinstance(fault, InvalidFrameError) and "Connection.OpenOk" in str(fault):
        return "it refuses the virtual host, which it does not know, or this user may not use"
    return reason(fault)
