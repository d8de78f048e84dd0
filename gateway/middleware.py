"""Around every request: its id, its deadline, its one log line, and the net under the handlers."""

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.addresses import Addresses
from gateway.body import BodyError
from gateway.dialects.dialect import NO_STORE, Dialect, no_content
from gateway.limits.limits import LIMIT_HEADERS
from gateway.runner import UNREADABLE
from shared import context
from shared.entropy import Entropy
from shared.errors import Error
from shared.telemetry import Telemetry

REQUEST_ID = web.RequestKey("request_id", str)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")
_REASONS = {404: "There is nothing at this path", 405: "This path does not take that method"}


def around_requests(
    dialects: Sequence[Dialect], addresses: Addresses, telemetry: Telemetry, entropy: Entropy, seconds: float
) -> Middleware:
    """The one middleware. A request has `seconds` in all, over every hop."""
    spoken_at = lru_cache(maxsize=1024)(lambda path: dialect_of(path, dialects))

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        given = request.headers.get("X-Request-Id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else entropy.token_bytes(16).hex()
        request[REQUEST_ID] = request_id
        dialect = spoken_at(request.path)
        fault: dict[str, Any] = {}
        span = telemetry.tracing.serving(request.method, request.headers, lambda: addresses.from_trusted_proxy(request))
        with context.request(request_id, seconds), span:
            try:
                if (unreadable := request.get(UNREADABLE)) is None:
                    response = await handler(request)
                else:
                    fault = {"reason": unreadable.reason, "unreadable": unreadable.kind}
                    response = dialect.fail(unreadable.status, unreadable.reason, {}, request)
            except Error as error:
                fault = {"code": error.code, "reason": error.message}
                response = dialect.refuse(error, request)
            except BodyError as error:
                fault = {"reason": error.reason}
                response = dialect.fail(error.status, error.reason, {}, request)
            except web.HTTPException as error:  # the router's: 404, 405, …
                response = _routed(error, request, dialect)
            except Exception as error:  # noqa: BLE001 - the last net: logged with its cause, told without
                fault = {"exc_info": error}
                response = dialect.fail(500, "Something went wrong on our side", {}, request)
            if dialect.cors is not None:
                response.headers.update(dialect.cors.headers(request.headers.get("Origin")))
            route = request.match_info.route.resource
            path = route.canonical if route is not None else "none"
            elapsed = time.perf_counter() - started
            span.answered(response.status, None if route is None else path)
            telemetry.requests.labels(dialect.name, path, str(response.status)).inc()
            telemetry.request_seconds.labels(dialect.name, path).observe(elapsed)
            client = addresses.client(request)
            write = telemetry.log.error if response.status == 500 else telemetry.log.info
            write(
                "request",
                method=request.method,
                path=request.path[:200],  # never the query: it may carry a token (user-pains row 31)
                status=response.status,
                dialect=dialect.name,
                client=None if client is None else str(client),
                ms=round(elapsed * 1000, 2),
                **fault,
            )
        return response

    return middleware


def _routed(error: web.HTTPException, request: web.Request, dialect: Dialect) -> web.Response:
    """The answer where no handler is: a preflight to a path that is there, or what is wrong with the path or method."""
    allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    if dialect.cors is not None and error.status == 405 and request.method == "OPTIONS":
        return no_content({**NO_STORE, **dialect.cors.preflight_headers(request.headers.get("Origin"))})
    return dialect.fail(error.status, _REASONS.get(error.status, error.reason), allow, request)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """What every answer carries, also one that is a stream."""
    response.headers["X-Request-Id"] = request.get(REQUEST_ID, "")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Server"] = "dragoman"  # aiohttp would tell its version and Python's
    response.headers.update(request.get(LIMIT_HEADERS, {}))


def demand_https(seconds: int) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """What tells browsers to speak to this host over HTTPS alone for so long (RFC 6797)."""

    async def add_header(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Strict-Transport-Security"] = f"max-age={seconds}"

    return add_header


def part_when(stopping: Callable[[], bool]) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """What has clients come back on another connection, to another replica, once this one is told to stop.

    A connection that was closed while it idled may have a request on its way, which nobody would answer.
    """

    async def close_after(_request: web.Request, response: web.StreamResponse) -> None:
        if stopping():
            response.headers["Connection"] = "close"
            response.force_close()

    return close_after


def dialect_of(path: str, dialects: Sequence[Dialect]) -> Dialect:
    """Whose way of speaking a path's errors have; the first dialect's where nobody claims it.

    Neither letter case nor slashes too many in front hide what was meant; what they lead to is a 404 all the same.
    """
    meant = f"/{path.lstrip('/').lower()}/"
    for dialect in dialects:
        if any(meant.startswith(f"{prefix}/") for prefix in dialect.prefixes):
            return dialect
    return dialects[0]
