"""A kit whose events stay in the outbox, where a test can look at them."""

import asyncio
from dataclasses import dataclass, field

from shared.bus.bus import Bus
from shared.bus.memory import MemoryBus
from shared.settings import Settings
from shared.testing import MemoryKit


class UnpublishingBus(MemoryBus):
    """Passes calls and takes in events, while its own stay in the outbox, where a test can look at them."""

    @property
    def connected(self) -> bool:
        """What the outbox relay asks before it publishes."""
        return False

    async def settled(self) -> None:
        """Return once every event that came was handled."""
        while self._events:
            await asyncio.wait(set(self._events))
        assert not self._pauses, "an event was not handled at the first attempt"


@dataclass
class OutboxKit(MemoryKit):
    """A kit whose bus publishes nothing."""

    made: list[UnpublishingBus] = field(default_factory=list)

    def bus(self, settings: Settings, **_limits: int) -> Bus:
        """The component's place on the broker in memory."""
        self.made.append(UnpublishingBus(self.broker, settings.component, self.telemetry, self.clock))
        return self.made[-1]
