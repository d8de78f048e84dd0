"""What the gateway needs to know of a dialect."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import web

from gateway.bearer import BearerTokens
from gateway.introspection import Introspector
from gateway.keys import PublicKeys
from gateway.revocations import RevocationFeed
from gateway.settings import GatewaySettings
from shared.bus.bus import Bus
from shared.errors import Error

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


@dataclass(frozen=True)
class Gateway:
    """What a dialect's handlers work with."""

    settings: GatewaySettings
    bus: Bus
    keys: PublicKeys
    bearer: BearerTokens
    revocations: RevocationFeed
    introspector: Introspector


class Dialect(Protocol):
    """One API's way of speaking: its paths, and how it says that something went wrong."""

    @property
    def name(self) -> str:
        """The word for it in logs and metrics."""

    @property
    def prefixes(self) -> Sequence[str]:
        """The beginnings of the paths whose errors speak this dialect, also where no handler answers."""

    def routes(self) -> list[web.RouteDef]:
        """Its handlers."""

    def refuse(self, error: Error, request: web.Request) -> web.Response:
        """The answer to an error of ours that a handler raised."""

    def fail(self, status: int, reason: str, headers: Mapping[str, str]) -> web.Response:
        """The answer when no handler came to speak: 400, 404, 405, 408, 413, 415, 429, 500, 503."""


def json_response(body: Any, *, status: int = 200, headers: Mapping[str, str] = NO_STORE) -> web.Response:
    """JSON, not to be stored unless `headers` say otherwise."""
    return web.Response(
        body=json.dumps(body, separators=(",", ":")).encode(),
        status=status,
        headers={"Content-Type": "application/json", **headers},
    )


def retry_after(error: Error) -> str:
    """The value of `Retry-After`: whole seconds, at least one (RFC 9110 §10.2.3)."""
    return str(max(1, math.ceil(error.retry_after or 1.0)))
