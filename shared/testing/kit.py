"""A kit whose buses meet on one broker in memory."""

from dataclasses import dataclass, field

from shared.bus.bus import Bus
from shared.bus.memory import MemoryBroker, MemoryBus
from shared.process import Kit
from shared.settings import Settings


@dataclass
class MemoryKit(Kit):
    """As `Kit`, but the bus is the twin in memory; give several components the same `broker`."""

    broker: MemoryBroker = field(default_factory=MemoryBroker)

    def bus(self, settings: Settings, **_limits: int) -> Bus:
        """The component's place on the broker in memory, which needs no limits."""
        return MemoryBus(self.broker, settings.component, self.telemetry, self.clock)
