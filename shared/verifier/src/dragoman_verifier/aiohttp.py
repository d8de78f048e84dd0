"""For aiohttp servers: a middleware that lets only verified requests through."""

from collections.abc import Awaitable, Callable, Collection
from functools import wraps
from typing import TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from dragoman_verifier.bearer import bearer_token, refusal
from dragoman_verifier.claims import Claims
from dragoman_verifier.errors import InsufficientScope, VerifierError
from dragoman_verifier.scopes import check_scopes
from dragoman_verifier.verifier import Verifier

CLAIMS = web.RequestKey("dragoman_claims", Claims)
"""Where the request keeps them."""

Answer = TypeVar("Answer", bound=web.StreamResponse)


def middleware(verifier: Verifier, *, exempt: Collection[str] = ()) -> Middleware:
    """Require a good bearer token of each request but those whose path is one of `exempt`, compared exactly.

    Answers 401, 403 or 503 (RFC 6750 §3) where the token, or a scope that the handler asks for, is missing. The
    verifier must be running while requests come, e.g. by a `cleanup_ctx`.
    """
    open_paths = frozenset(exempt)

    @web.middleware
    async def verify(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in open_paths:
            try:
                token = bearer_token(request.headers.getall("Authorization", []))
                if token is None:
                    return _answer(None)
                request[CLAIMS] = await verifier.verify(token)
            except VerifierError as error:
                return _answer(error)
        try:
            return await handler(request)
        except InsufficientScope as error:
            return _answer(error)

    return verify


def claims_of(request: web.Request) -> Claims:
    """The claims of the request's token; KeyError on an exempt path."""
    return request[CLAIMS]


def require_scope(
    *scopes: str,
) -> Callable[[Callable[[web.Request], Awaitable[Answer]]], Callable[[web.Request], Awaitable[Answer]]]:
    """Let a handler answer only requests whose token has all these scopes; the middleware answers 403 to the others."""

    def decorate(handler: Callable[[web.Request], Awaitable[Answer]]) -> Callable[[web.Request], Awaitable[Answer]]:
        @wraps(handler)
        async def checked(request: web.Request) -> Answer:
            check_scopes(claims_of(request), *scopes)
            return await handler(request)

        return checked

    return decorate


def _answer(error: VerifierError | None) -> web.Response:
    told = refusal(error)
    return web.Response(status=told.status, headers=told.headers, body=told.body)
