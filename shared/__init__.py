"""What every component stands on: contracts, the bus, settings, telemetry, stores and the process around them."""
