"""GET /.well-known/revocations: the feed for verifiers, as a snapshot or as server-sent events.

`Accept: text/event-stream` gets events (WHATWG HTML §9.2): `revocation` with a cursor as its id, `heartbeat` while the
source is heard, `reset` when the cursor in `Last-Event-ID` is too old or too much was missed. Anything else gets the
snapshot as JSON. Both need an access token with the scope `revocations:read`.
"""

import asyncio
import json

from aiohttp import web
from dragoman_verifier import Claims

from gateway.bearer import BearerTokens
from gateway.dialects.dialect import json_response
from gateway.revocations import Entry, RevocationFeed
from shared.errors import Error, ErrorCode, unavailable

SCOPE = "revocations:read"
_HEARTBEAT_SECONDS = 2.0
_WRITE_SECONDS = 5.0


class FeedEndpoint:
    """Serves the feed."""

    def __init__(self, feed: RevocationFeed, bearer: BearerTokens) -> None:
        self._feed = feed
        self._bearer = bearer

    async def get(self, request: web.Request) -> web.StreamResponse:
        """The snapshot or the events. Raises invalid_token, forbidden, and `unavailable` while the source is silent."""
        claims = await self._bearer.required(request)
        if SCOPE not in claims.scopes:
            raise Error(ErrorCode.FORBIDDEN, f"the scope {SCOPE} is needed", detail={"scope": SCOPE})
        if not self._feed.alive:
            raise unavailable("revocations are not heard at this moment")
        if request.method == "GET" and "text/event-stream" in request.headers.get("Accept", ""):
            return await self._events(request, claims)
        return json_response(self._feed.snapshot())

    async def _events(self, request: web.Request, claims: Claims) -> web.StreamResponse:
        with self._feed.follow() as queue:
            cursor = request.headers.get("Last-Event-ID", self._feed.cursor)
            missed = self._feed.since(cursor)
            response = web.StreamResponse(
                headers={
                    "Content-Type": "text/event-stream",
                    "Cache-Control": "no-store",
                    "X-Accel-Buffering": "no",  # nginx would hold events back
                }
            )
            await response.prepare(request)
            if missed is None:
                await _write(response, "event: reset\ndata: {}\n\n")
                return response
            try:
                await _write(response, "event: heartbeat\ndata: {}\n\n" + "".join(map(_event, missed)))
                await self._pass_on(response, queue, missed, claims)
            except (ConnectionError, TimeoutError):
                pass  # the follower left or does not read: it comes back with its cursor
            return response

    async def _pass_on(
        self, response: web.StreamResponse, queue: "asyncio.Queue[Entry | None]", sent: list[Entry], claims: Claims
    ) -> None:
        # What came while the missed ones were looked up is in both.
        known = {cursor for cursor, _ in sent}
        # Until the follower's own token ends: it comes back with its cursor and another one.
        while not self._feed.closed and self._feed.is_good(claims):
            try:
                async with asyncio.timeout(_HEARTBEAT_SECONDS):
                    entry = await queue.get()
            except TimeoutError:
                if self._feed.alive:
                    await _write(response, "event: heartbeat\ndata: {}\n\n")
                continue
            if entry is None:
                if not self._feed.closed:
                    await _write(response, "event: reset\ndata: {}\n\n")
                return
            if entry[0] not in known:
                await _write(response, _event(entry))


def _event(entry: Entry) -> str:
    cursor, revocation = entry
    return f"id: {cursor}\nevent: revocation\ndata: {json.dumps(revocation, separators=(',', ':'))}\n\n"


async def _write(response: web.StreamResponse, text: str) -> None:
    async with asyncio.timeout(_WRITE_SECONDS):
        await response.write(text.encode())
