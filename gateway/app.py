"""Assembly of the HTTP application."""

import asyncio
from collections.abc import AsyncIterator, Collection
from typing import Any, Literal

from aiohttp import HttpVersion11, web
from dragoman_verifier import Verifier
from dragoman_verifier.claims import ANY_AUDIENCE, AnyAudience

from gateway.addresses import Addresses, parse_networks
from gateway.bearer import BearerTokens
from gateway.body import MAX_BODY_BYTES
from gateway.client_guesses import ClientGuesses
from gateway.dialects.backoffice import BackOffice
from gateway.dialects.dialect import Dialect, Gateway
from gateway.dialects.directus import Directus
from gateway.dialects.enterprise import Enterprise
from gateway.dialects.oauth2 import OAuth2
from gateway.feed import FeedEndpoint
from gateway.forward_auth import ForwardAuth
from gateway.introspection import Introspector
from gateway.keys import PublicKeys
from gateway.limits.limits import Limits
from gateway.limits.redis_windows import RedisWindows
from gateway.middleware import add_headers, around_requests, demand_https, part_when
from gateway.openapi.endpoint import OpenApi
from gateway.revocations import RevocationFeed
from gateway.runner import LONGEST_FIELD, LONGEST_URL, Runner
from gateway.security_settings import SecuritySettingsFollower
from gateway.settings import GatewaySettings
from gateway.wellknown import WellKnown
from shared.bus.bus import Bus
from shared.process import Kit, background
from shared.revocations import RevocationStream

FEED = web.AppKey("feed", RevocationFeed)
"""The feed that the application follows."""

_KEYS_SECONDS = 2.0
"""How old the keys may be by which the gateway itself verifies."""


def build_app(
    settings: GatewaySettings,
    bus: Bus,
    kit: Kit,
    stream: RevocationStream | None = None,
    windows: RedisWindows | None = None,
) -> web.Application:
    """The application with every dialect's routes; what it needs to run starts and stops with it."""
    keys = PublicKeys(bus, kit.telemetry)
    feed = RevocationFeed(
        bus,
        stream,
        kit.clock,
        kit.telemetry,
        max_staleness=settings.revocation_staleness_seconds,
        refuse_when_stale=settings.revocation_when_stale == "refuse",
    )
    own_audience = settings.audience or settings.issuer
    verifier = _verifier(settings, own_audience, keys, feed, kit)
    bearer = BearerTokens(verifier)
    audiences = [name.strip() for name in settings.forward_auth_audiences.split(",") if name.strip()]
    forward_verifier = _verifier(settings, audiences or own_audience, keys, feed, kit)
    forward_auth = ForwardAuth(settings.forward_auth_rules, BearerTokens(forward_verifier))
    teller = _verifier(settings, ANY_AUDIENCE, keys, feed, kit)
    introspector = Introspector(bus, feed, teller, kit.clock, kit.entropy, kit.telemetry)
    addresses = Addresses(parse_networks(settings.trusted_proxies))
    limits = Limits(settings.limits, windows, addresses, kit.clock, kit.telemetry)
    guesses = ClientGuesses(addresses, kit.clock, kit.entropy, kit.telemetry)
    gateway = Gateway(
        settings, bus, keys, bearer, feed, introspector, addresses, limits, guesses, kit.entropy, kit.clock
    )
    dialects: list[Dialect] = [OAuth2(gateway), BackOffice(gateway), Enterprise(gateway), Directus(gateway)]
    app = web.Application(
        client_max_size=MAX_BODY_BYTES,
        middlewares=[around_requests(dialects, addresses, kit.telemetry, kit.entropy, settings.request_seconds)],
    )
    routes = [route for dialect in dialects for route in dialect.routes()]
    well_known = WellKnown(gateway, FeedEndpoint(feed, bearer))
    routes += [*well_known.routes(), *forward_auth.routes()]
    app[FEED] = feed
    for route in (*routes, *OpenApi(routes, settings).routes()):
        handled = web.route(route.method, route.path, route.handler, expect_handler=_answer_expect, **route.kwargs)
        app.add_routes([handled])

    security = SecuritySettingsFollower(bus, settings.limits, limits.replace, limits.read_numbers, kit.telemetry)

    async def follow(_app: web.Application) -> AsyncIterator[None]:
        tasks = (asyncio.create_task(feed.run()), asyncio.create_task(security.run()))
        async with verifier, forward_verifier, teller, background(*tasks):
            yield

    async def let_followers_go(_app: web.Application) -> None:
        feed.close()

    app.cleanup_ctx.append(follow)
    app.on_shutdown.append(let_followers_go)
    app.on_response_prepare.append(add_headers)
    app.on_response_prepare.append(part_when(lambda: kit.health.stopping))
    if settings.hsts_seconds:
        app.on_response_prepare.append(demand_https(settings.hsts_seconds))
    return app


def _verifier(
    settings: GatewaySettings,
    audience: str | Collection[str] | Literal[AnyAudience.ANY],
    keys: PublicKeys,
    feed: RevocationFeed,
    kit: Kit,
) -> Verifier:
    """The library that other services verify with, given keys and revocations by the bus rather than over HTTP."""

    async def published() -> tuple[dict[str, Any], dict[str, str]]:
        return {"keys": await keys.all(newer_than=_KEYS_SECONDS)}, {"Cache-Control": f"max-age={_KEYS_SECONDS:.0f}"}

    return Verifier(
        settings.issuer,
        audience,
        keys=published,
        revocations=feed,
        min_refresh_interval=1.0,
        allow_insecure=True,  # nothing is fetched from the issuer's address
        clock=lambda: kit.clock.now().timestamp(),
    )


def build_runner(app: web.Application, settings: GatewaySettings) -> web.AppRunner:
    """What serves the application. Bodies come as they were sent, so that compressed ones are refused unread."""
    return Runner(
        app,
        access_log=None,
        shutdown_timeout=settings.drain_seconds,
        auto_decompress=False,
        max_line_size=LONGEST_URL,
        max_field_size=LONGEST_FIELD,
    )


async def _answer_expect(request: web.Request) -> None:
    """Ask for the body when the client waits for that (RFC 9110 §10.1.1).

    Other expectations are passed over; aiohttp would refuse them in plain text, before any dialect could speak.
    """
    if request.version == HttpVersion11 and request.headers["Expect"].lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # what counts from here on is the answer itself
