"""What hands messages to providers has in common."""

from typing import Protocol
from uuid import UUID

from services.otp.messages import Text

SEND_SECONDS = 10.0
"""The longest that handing over one message may take."""


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """The provider will not take this message, now or later.

    `reason` is made of the provider's numbers alone: its words may repeat the address, or the message.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Sender(Protocol):
    """A way to reach people."""

    async def send(self, delivery_id: UUID, address: str, text: Text) -> None:
        """Hand the message over; the same `delivery_id` lets the receiver recognise a repeat.

        Raises `Refused` when trying again is useless, `unavailable` when it may help.
        """
