"""Assembly of the HTTP application."""

from aiohttp import HttpVersion11, web

from gateway.bearer import BearerTokens
from gateway.body import MAX_BODY_BYTES
from gateway.dialects.dialect import Dialect, Gateway
from gateway.dialects.oauth2 import OAuth2
from gateway.keys import PublicKeys
from gateway.middleware import around_requests
from gateway.settings import GatewaySettings
from shared.bus.bus import Bus
from shared.process import Kit


def build_app(settings: GatewaySettings, bus: Bus, kit: Kit) -> web.Application:
    """The application with every dialect's routes."""
    keys = PublicKeys(bus, kit.telemetry)
    bearer = BearerTokens(keys, kit.clock, settings.issuer, settings.audience or settings.issuer)
    gateway = Gateway(settings, bus, keys, bearer)
    dialects: list[Dialect] = [OAuth2(gateway)]
    app = web.Application(
        client_max_size=MAX_BODY_BYTES,
        middlewares=[around_requests(dialects, kit.telemetry, kit.entropy, settings.request_seconds)],
    )
    for dialect in dialects:
        for route in dialect.routes():
            handled = web.route(route.method, route.path, route.handler, expect_handler=_answer_expect, **route.kwargs)
            app.add_routes([handled])
    return app


def build_runner(app: web.Application, settings: GatewaySettings) -> web.AppRunner:
    """What serves the application. Bodies come as they were sent, so that compressed ones are refused unread."""
    return web.AppRunner(app, access_log=None, shutdown_timeout=settings.drain_seconds, auto_decompress=False)


async def _answer_expect(request: web.Request) -> None:
    """Ask for the body when the client waits for that (RFC 9110 §10.1.1).

    Other expectations are passed over; aiohttp would refuse them in plain text, before any dialect could speak.
    """
    if request.version == HttpVersion11 and request.headers["Expect"].lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # what counts from here on is the answer itself
