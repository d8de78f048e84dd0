"""What the gateway needs to know of a dialect."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from aiohttp import web
from dragoman_verifier import Claims

from gateway.addresses import Addresses
from gateway.bearer import BearerTokens
from gateway.client_guesses import ClientGuesses
from gateway.cors import CorsPolicy
from gateway.introspection import Introspector
from gateway.keys import PublicKeys
from gateway.limits.limits import Limits
from gateway.revocations import RevocationFeed
from gateway.settings import GatewaySettings
from shared.bus.bus import Bus
from shared.clock import Clock
from shared.contracts.token import EndSession
from shared.entropy import Entropy
from shared.errors import Error, ErrorCode
from shared.json_bytes import json_bytes

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
    addresses: Addresses
    limits: Limits
    guesses: ClientGuesses
    entropy: Entropy
    clock: Clock

    async def end_session(self, call: EndSession) -> bool:
        """Sign out; returns whether there was a session to end, whose tokens are refused here from now on."""
        answer = await self.bus.call(call)
        self.revocations.learn(answer.revocations)
        return answer.ended


class Dialect(Protocol):
    """One API's way of speaking: its paths, and how it says that something went wrong."""

    @property
    def name(self) -> str:
        """The word for it in logs and metrics."""

    @property
    def prefixes(self) -> Sequence[str]:
        """The beginnings of the paths whose errors speak this dialect, also where no handler answers."""

    @property
    def cors(self) -> CorsPolicy | None:
        """Which web pages of other origins may call it; None for none."""

    def routes(self) -> list[web.RouteDef]:
        """Its handlers."""

    def refuse(self, error: Error, request: web.Request) -> web.Response:
        """The answer to an error of ours that a handler raised."""

    def fail(self, status: int, reason: str, headers: Mapping[str, str], request: web.Request) -> web.Response:
        """The answer when no handler came to speak: 400, 404, 405, 408, 413, 414, 415, 429, 431, 500, 503."""


def json_response(body: Any, *, status: int = 200, headers: Mapping[str, str] = NO_STORE) -> web.Response:
    """JSON, not to be stored unless `headers` say otherwise."""
    return web.Response(
        body=json_bytes(body),
        status=status,
        headers={"Content-Type": "application/json", **headers},
    )


def no_content(headers: Mapping[str, str] = NO_STORE) -> web.Response:
    """Done, and nothing to say: 204 without body."""
    return web.Response(status=204, headers=headers)


def own_session(claims: Claims, dialect: str) -> UUID:
    """The session of an access token that was given to a user of `dialect`, which is a client of that name.

    Raises `invalid_token` for any other token.
    """
    if claims.client_id != dialect or claims.session_id is None:
        raise Error(ErrorCode.INVALID_TOKEN, "the access token is of another dialect, or of a client")
    return UUID(claims.session_id)


def retry_after(error: Error) -> str:
    """The value of `Retry-After`: whole seconds, at least one (RFC 9110 §10.2.3)."""
    return str(max(1, math.ceil(error.retry_after or 1.0)))
