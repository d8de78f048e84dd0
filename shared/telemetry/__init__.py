"""What a component tells about itself: one structured line per request and per message, metrics, health."""

from shared.telemetry.health import Health
from shared.telemetry.logs import configure_logging
from shared.telemetry.telemetry import Telemetry

__all__ = ["Health", "Telemetry", "configure_logging"]
