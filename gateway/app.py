"""Assembly of the HTTP application."""

from aiohttp import web

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
    bearer = BearerTokens(keys, settings.issuer, settings.audience or settings.issuer)
    gateway = Gateway(settings, bus, keys, bearer)
    dialects: list[Dialect] = [OAuth2(gateway)]
    app = web.Application(
        client_max_size=MAX_BODY_BYTES,
        middlewares=[around_requests(dialects, kit.telemetry, kit.entropy, settings.request_seconds)],
    )
    for dialect in dialects:
        app.add_routes(dialect.routes())
    return app
