"""What the inbox can be told to do wrong, so that tests see how senders cope.

`PUT /faults` with `{"smtp": …, "sms": …}` replaces both switches; `{}` sets them back.

smtp  reject           550 to RCPT; nothing is kept
      tempfail         451 to RCPT; nothing is kept
      drop_after_data  the message is kept, then the connection closes without an answer
      slow             the message is kept, the answer comes after 30 s
sms   http400, http500 that status in Twilio's error shape; nothing is kept
      drop             the message is kept, then the connection closes without an answer
      slow             the message is kept, the answer comes after 30 s

Setting the switches again ends the waiting of all slow answers.
"""

import asyncio
from typing import Literal

from pydantic import BaseModel, ConfigDict

from deploy.inbox.pulse import Pulse

SLOW_SECONDS = 30.0


class Faults(BaseModel):
    """How each server misbehaves; None is good behaviour."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    smtp: Literal["reject", "tempfail", "drop_after_data", "slow"] | None = None
    sms: Literal["http400", "http500", "drop", "slow"] | None = None


class FaultSwitch:
    """Holds the faults in force."""

    def __init__(self) -> None:
        self._faults = Faults()
        self._changed = Pulse()

    @property
    def faults(self) -> Faults:
        """The faults in force now."""
        return self._faults

    def set(self, faults: Faults) -> None:
        """Puts `faults` in force in place of the earlier ones, and lets slow answers go."""
        self._faults = faults
        self._changed.fire()

    async def linger(self) -> None:
        """Returns after `SLOW_SECONDS`, or as soon as the faults are set again."""
        try:
            async with asyncio.timeout(SLOW_SECONDS):
                await self._changed.wait()
        except TimeoutError:
            pass
