"""Wiring of the gateway."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.app import FEED, build_app, build_runner
from gateway.limits.redis_windows import open_windows
from gateway.metrics import measure_feed
from gateway.settings import GatewaySettings
from shared.listening import listen
from shared.process import Component, Kit, run
from shared.revocations import open_stream


@asynccontextmanager
async def open_gateway(settings: GatewaySettings, kit: Kit) -> AsyncIterator[None]:
    """Run the gateway while inside; leaving it answers the requests in hand before the bus closes.

    A gateway that is told to stop still takes requests for `leave_seconds`: balancers learn only from `/readyz`, and
    after a moment, that it goes.
    """
    async with (
        kit.bus(settings) as bus,
        open_stream(settings.redis_url, settings.redis_prefix) as stream,
        open_windows(settings.redis_url, settings.redis_prefix) as windows,
    ):
        app = build_app(settings, bus, kit, stream, windows)
        measure_feed(app[FEED], kit.telemetry.registry)
        runner = build_runner(app, settings)
        await runner.setup()
        try:
            port = await listen(runner, kit.telemetry, settings.host, settings.port, reuse_address=True)
            kit.telemetry.log.info("listening", host=settings.host, port=port)
            yield
        finally:
            if kit.health.stopping:
                await asyncio.sleep(settings.leave_seconds)
            await runner.cleanup()


COMPONENT = Component(GatewaySettings, open_gateway)

if __name__ == "__main__":
    run([COMPONENT])
