"""For ASGI servers (Starlette, FastAPI and others): a middleware that lets only verified requests through."""

from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from typing import Any

from dragoman_verifier.bearer import Refusal, bearer_token, refusal
from dragoman_verifier.claims import Claims
from dragoman_verifier.errors import InsufficientScope, VerifierError
from dragoman_verifier.verifier import Verifier

CLAIMS = "dragoman.claims"
"""Where the connection's scope keeps them; `request.state.claims` is the same."""

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class VerifierMiddleware:
    """Requires a good bearer token of each request and WebSocket.

    Left out are those whose path (the scope's `path`) is one of `exempt`, compared exactly. Answers 401, 403 or 503
    (RFC 6750 §3); a WebSocket is refused before it opens. The verifier must be running while requests come, e.g. by
    the application's lifespan, which passes through.
    """

    def __init__(self, app: App, verifier: Verifier, *, exempt: Collection[str] = ()) -> None:
        self._app = app
        self._verifier = verifier
        self._exempt = frozenset(exempt)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI 3)."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        if scope["path"] not in self._exempt:
            try:
                claims = await self._verified(scope)
            except VerifierError as error:
                await _answer(refusal(error), scope, send)
                return
            if claims is None:
                await _answer(refusal(None), scope, send)
                return
            # A copy, because some servers give all requests the same state.
            scope = {**scope, CLAIMS: claims, "state": {**scope.get("state", {}), "claims": claims}}
        await self._serve(scope, receive, send)

    async def _verified(self, scope: Scope) -> Claims | None:
        token = bearer_token(_authorization(scope))
        return None if token is None else await self._verifier.verify(token)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except InsufficientScope as error:
            if started:
                raise
            await _answer(refusal(error), scope, send)


def claims_of(connection: Any) -> Claims:
    """The claims of the token, from an ASGI scope or a Starlette request or WebSocket; KeyError on an exempt path."""
    scope: Mapping[str, Any] = getattr(connection, "scope", connection)
    claims: Claims = scope[CLAIMS]
    return claims


def _authorization(scope: Scope) -> list[str]:
    return [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"authorization"]


async def _answer(told: Refusal, scope: Scope, send: Send) -> None:
    kind = scope["type"] + ".response"
    if scope["type"] == "websocket":
        kind = "websocket.http.response"
        if kind not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008})  # the server turns it into 403
            return
    headers = [(name.lower().encode(), value.encode()) for name, value in told.headers.items()]
    headers.append((b"content-length", str(len(told.body)).encode()))
    await send({"type": f"{kind}.start", "status": told.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": told.body})
