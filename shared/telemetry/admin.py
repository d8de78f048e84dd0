"""The admin port: /livez, /readyz and /metrics, away from the port that clients reach."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from shared.listening import listen
from shared.telemetry.health import Health
from shared.telemetry.telemetry import Telemetry

_LAG_INTERVAL_SECONDS = 0.5


@asynccontextmanager
async def admin_server(telemetry: Telemetry, health: Health, host: str, port: int) -> AsyncIterator[int]:
    """Serve the admin port while inside; yields the port in use (`port` 0 picks a free one).

    `/livez` answers 200 while the event loop turns; `/readyz` 200 or 503 with one line per check; `/metrics` in
    Prometheus's text form, with what `/readyz` would say now: not every process is asked for that.
    Raises `CannotListenError`.
    """

    async def checked() -> dict[str, str]:
        checks = await health.report()
        for name, result in checks.items():
            telemetry.ready.labels(name).set(result == "ok")
        return checks

    async def livez(_request: web.Request) -> web.Response:
        return web.json_response({"status": "live"})

    async def readyz(_request: web.Request) -> web.Response:
        checks = await checked()
        ready = all(result == "ok" for result in checks.values())
        body = {"status": "ready" if ready else "unready", "checks": checks}
        return web.json_response(body, status=200 if ready else 503)

    async def metrics(_request: web.Request) -> web.Response:
        await checked()
        return web.Response(body=generate_latest(telemetry.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    lag = asyncio.create_task(_measure_lag(telemetry))
    try:
        bound = await listen(runner, telemetry, host, port, setting="ADMIN_")
        telemetry.log.info("admin port open", host=host, port=bound)
        yield bound
    finally:
        lag.cancel()
        await runner.cleanup()


async def _measure_lag(telemetry: Telemetry) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _LAG_INTERVAL_SECONDS
        await asyncio.sleep(_LAG_INTERVAL_SECONDS)
        telemetry.loop_lag_seconds.observe(max(0.0, loop.time() - due))
