"""Those who follow the revocation feed: a bare connection, and a verifier of another service."""

import asyncio
import copy
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
from aiohttp import ClientResponse
from dragoman_verifier import Revocations, RevocationsStale, TokenRevoked, Verifier, VerifierError
from dragoman_verifier.sse import Event, Parser

from tests.dialects.running import ISSUER, Platform
from tests.support.waiting import eventually

SECONDS = 10.0
PREFIX = "test:stream:"
FEED = "/.well-known/revocations"
CLIENT = {"client_id": "abc123", "client_secret": "456789"}
FOLLOWER: dict[str, Any] = {"client_id": "follower", "client_secret": "follower-secret"}


@dataclass
class Stream:
    """An open feed of events."""

    response: ClientResponse
    events: list[Event] = field(default_factory=list)
    parser: Parser = field(default_factory=Parser)

    async def next(self, *names: str) -> Event:
        """The next event called one of `names`; the others before it are passed over."""
        async with asyncio.timeout(SECONDS):
            while True:
                while self.events:
                    if (event := self.events.pop(0)).name in names:
                        return event
                chunk = await self.response.content.readany()
                assert chunk, "the feed ended"
                self.events += self.parser.feed(chunk)

    async def over(self) -> None:
        """Return once the gateway has ended it."""
        async with asyncio.timeout(SECONDS):
            while await self.response.content.readany():
                pass


async def bearer(platform: Platform) -> dict[str, str]:
    """The header of a client that may follow."""
    _, body = await platform.token("client_credentials", **FOLLOWER, scope="revocations:read")
    return {"Authorization": f"Bearer {body['access_token']}"}


async def snapshot(platform: Platform) -> dict[str, Any]:
    """All that is revoked, and the cursor: in a stream that `token` has filled, which followers may stay with."""

    async def look() -> dict[str, Any] | None:
        answer = await platform.send("GET", FEED, headers=await bearer(platform))
        assert answer.status in {200, 503}, answer
        if answer.status == 503:
            return None
        found: dict[str, Any] = json.loads(answer.text)
        return None if found["cursor"].endswith("-") else found

    return await eventually(look, SECONDS, "the snapshot is there")


@asynccontextmanager
async def following(platform: Platform, cursor: str | None = None) -> AsyncIterator[Stream]:
    """The feed as events, while inside; of a stream that is filled, or it would be followed anew from there."""
    await snapshot(platform)
    headers = await bearer(platform) | {"Accept": "text/event-stream"}
    headers |= {} if cursor is None else {"Last-Event-ID": cursor}
    async with platform.http.get(FEED, headers=headers, timeout=None) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream"), await response.text()
        assert response.headers["Cache-Control"] == "no-store"
        yield Stream(response)


@asynccontextmanager
async def verifier(platform: Platform, **settings: Any) -> AsyncIterator[Verifier]:
    """A verifier of another service that follows this gateway."""
    address = str(platform.http._base_url).rstrip("/")
    revocations = Revocations(
        **FOLLOWER, url=f"{address}/.well-known/revocations", token_url=f"{address}/oauth/v2/token", **settings
    )
    made = Verifier(
        ISSUER,
        ISSUER,
        jwks_url=f"{address}/.well-known/jwks.json",
        revocations=revocations,
        clock=lambda: platform.clock.now().timestamp(),
    )
    async with made:
        yield made


@asynccontextmanager
async def another_gateway(platform: Platform) -> AsyncIterator[Platform]:
    """The same platform, seen through one more gateway."""
    other = copy.copy(platform)
    async with other.gateway():
        await snapshot(other)
        yield other


async def signed_in(platform: Platform) -> dict[str, Any]:
    """A user's tokens."""
    return await platform.sign_in("someone@example.com", "def56789")


async def end(platform: Platform, tokens: dict[str, Any]) -> str:
    """Revoke a session; its id."""
    answer = await platform.send("POST", "/oauth/v2/revoke", data=CLIENT | {"token": tokens["refresh_token"]})
    assert answer.status == 200, answer
    return session_id(tokens)


def session_id(tokens: dict[str, Any]) -> str:
    """The session that these are of."""
    said = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    return str(said["sid"])


async def introspected(platform: Platform, tokens: dict[str, Any]) -> bool:
    """Whether introspection calls the access token active."""
    answer = await platform.send("POST", "/oauth/v2/introspect", data=CLIENT | {"token": tokens["access_token"]})
    assert answer.status == 200, answer
    return bool(json.loads(answer.text)["active"])


async def refused(by: Verifier, tokens: dict[str, Any], kind: type[VerifierError] = TokenRevoked) -> None:
    """Return once the verifier refuses the access token for this reason."""

    async def look() -> bool | None:
        try:
            await by.verify(tokens["access_token"])
        except kind:
            return True
        except RevocationsStale:
            return None
        return None

    await eventually(look, SECONDS, kind.__name__)


async def heard(by: Verifier) -> None:
    """Return once the verifier hears the feed again."""

    async def look() -> bool | None:
        health = by.health()
        return (health.revocations == "live" and health.revocations_problem is None) or None

    await eventually(look, SECONDS, "the feed is heard")
