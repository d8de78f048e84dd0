"""An issuer as the verifier sees it: metadata, keys, tokens for clients and the revocation feed, with switches."""

import asyncio
import json
from collections import Counter
from typing import Any, Literal

from aiohttp import BasicAuth, web
from aiohttp.test_utils import TestServer

from tests.verifier.signing import Clock, Key, payload, sign

HEARTBEAT_SECONDS = 0.05
Mood = Literal["well", "down", "slow", "garbage", "large", "redirect"]
FeedMood = Literal["well", "down", "silent", "garbage"]


class Issuer:
    """A server whose `keys` are published and whose `revoke` tells all who listen; it counts what it is asked."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.keys = [Key("key-1")]
        self.mood: Mood = "well"
        self.feed_mood: FeedMood = "well"
        self.cache_control: str | None = None
        self.metadata: dict[str, Any] = {}
        self.asked: Counter[str] = Counter()
        self.resumed_from: list[str | None] = []
        self.secret = "s3cret:/+"
        self.extra_keys: list[Any] = []
        self.snapshot: dict[str, Any] = {}
        self.feed_type = "text/event-stream"
        self._entries: list[dict[str, Any]] = []
        self._oldest_cursor = 0
        self._changed = asyncio.Event()
        self._streams: set[asyncio.Task[Any]] = set()
        app = web.Application(middlewares=[self._in_mood])
        app.add_routes(
            [
                *(web.get(f"{where}/.well-known/openid-configuration", self._metadata) for where in ("", "/elsewhere")),
                *(web.get(f"{where}/jwks", self._jwks) for where in ("", "/elsewhere")),
                web.post("/token", self._token),
                web.get("/.well-known/revocations", self._feed),
            ]
        )
        self.server = TestServer(app)

    @property
    def url(self) -> str:
        """What the tokens name as `iss`."""
        return str(self.server.make_url("")).rstrip("/")

    def token(self, key: Key | None = None, **changed: Any) -> str:
        """An access token, signed with the first key or `key`, with some claims changed."""
        return sign(payload(self.url, self.clock(), **changed), key or self.keys[0])

    def revoke(self, kind: str, value: str, issued_before: float | None = None, **changed: Any) -> None:
        """Revoke something and tell of it."""
        entry = {"kind": kind, "value": value, "issued_before": issued_before, "expires_at": self.clock() + 600}
        self._entries.append(entry | changed)
        self._changed.set()

    def forget_cursors(self) -> None:
        """From now on every cursor so far is too old."""
        self._oldest_cursor = len(self._entries) + 1
        self._entries.append({"kind": "unknown"})
        self.drop_streams()

    def drop_streams(self) -> None:
        """Close every connection to the feed."""
        for stream in self._streams:
            stream.cancel()

    async def close(self) -> None:
        """Stop."""
        self.drop_streams()
        await self.server.close()

    @web.middleware
    async def _in_mood(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked[request.path] += 1
        if self.mood == "down" or (self.feed_mood == "down" and request.path.endswith("/revocations")):
            return web.Response(status=503)
        if self.mood == "slow":
            await asyncio.Event().wait()
        if self.mood == "garbage":
            return web.Response(body=b"[[[\xff")
        if self.mood == "redirect" and not request.path.startswith("/elsewhere"):
            raise web.HTTPFound(f"/elsewhere{request.path}")
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _metadata(self, request: web.Request) -> web.Response:
        urls = {"issuer": self.url, "jwks_uri": f"{self.url}/jwks", "token_endpoint": f"{self.url}/token"}
        return self._json(urls | self.metadata)

    async def _jwks(self, request: web.Request) -> web.Response:
        headers = {"Cache-Control": self.cache_control} if self.cache_control else {}
        return self._json({"keys": [*self.extra_keys, *(key.jwk for key in self.keys)]}, headers)

    def _json(self, document: dict[str, Any], headers: dict[str, str] | None = None) -> web.Response:
        padding = {"padding": "x" * (2 << 20)} if self.mood == "large" else {}
        return web.json_response(document | padding, headers=headers)

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        given = BasicAuth.decode(request.headers["Authorization"])
        if (given.login, given.password) != ("verifier", "s3cret%3A%2F%2B"):
            return web.json_response({"error": "invalid_client"}, status=401)
        assert dict(form) == {"grant_type": "client_credentials", "scope": "revocations:read"}
        return web.json_response({"access_token": "feed-token", "token_type": "Bearer", "expires_in": 300})

    async def _feed(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != "Bearer feed-token":
            return web.json_response({"error": "invalid_token"}, status=401)
        if request.headers["Accept"] == "application/json":
            self.asked["snapshot"] += 1
            snapshot = {"cursor": str(len(self._entries)), "revocations": self._entries}
            return web.json_response(snapshot | self.snapshot)
        self.resumed_from.append(request.headers.get("Last-Event-ID"))
        stream = web.StreamResponse(headers={"Content-Type": self.feed_type})
        await stream.prepare(request)
        task = asyncio.create_task(self._write(stream, int(self.resumed_from[-1] or 0)))
        self._streams.add(task)
        task.add_done_callback(self._streams.discard)
        await asyncio.gather(task, return_exceptions=True)
        if request.transport is not None:
            request.transport.abort()  # as when a gateway dies
        return stream

    async def _write(self, stream: web.StreamResponse, cursor: int) -> None:
        if cursor < self._oldest_cursor:
            await stream.write(b"event: reset\ndata: {}\n\n")
            return
        while True:
            self._changed.clear()
            if self.feed_mood == "garbage":
                await stream.write(b"event: revocation\ndata: {not json\n\n")
            if self.feed_mood == "well":
                for entry in self._entries[cursor:]:
                    cursor += 1
                    await stream.write(
                        f"id: {cursor}\r\nevent: revocation\r\ndata: {json.dumps(entry)}\r\n\r\n".encode()
                    )
                await stream.write(b": a comment\nevent: heartbeat\ndata: {}\n\n")
            try:
                await asyncio.wait_for(self._changed.wait(), HEARTBEAT_SECONDS)
            except TimeoutError:
                continue
