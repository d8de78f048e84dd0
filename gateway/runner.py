"""What serves the application, so that requests that cannot be read neither fill the memory nor are told to anybody."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import ERROR, RequestHandler, _ErrInfo
from multidict import CIMultiDict, CIMultiDictProxy

LONGEST_URL = 16 * 1024
"""Bytes of a URL; Node, for which many clients were written, takes as many of URL and headers together."""

LONGEST_FIELD = LONGEST_URL + 1
"""Bytes of one header with its name. Not the same number: the limit is how a long header is told from a long URL."""


@dataclass(frozen=True)
class Unreadable:
    """Why a request could not be read: `reason` is safe to show, `kind` names the parser's failure without its text."""

    status: int
    reason: str
    kind: str


UNREADABLE = web.RequestKey("unreadable", Unreadable)
"""What a request that could not be read has; nothing else of such a request is known."""

_NOTHING_READ = ERROR._replace(version=HttpVersion11, headers=CIMultiDictProxy(CIMultiDict()), raw_headers=())


def _unreadable(failure: BaseException) -> Unreadable:
    status, reason = 400, "The request cannot be read"
    if isinstance(failure, LineTooLong):
        in_url = failure.args[1] == LONGEST_URL
        status, reason = (414, "The URL is too long") if in_url else (431, "A header field is too long")
    return Unreadable(status, reason, type(failure).__name__)


class _Connection(RequestHandler):
    """Reads no further once something on it could not be read: it ends with the answer that says so.

    aiohttp would try each further piece, up to 256 KiB, and keep it with the failure that it leads to, until Python
    looks for cycles: 8 MiB of header stayed in memory whole, long after the connection.
    The answer is the application's. aiohttp's own would repeat what could not be read, which may be a token or a cookie
    that scripts must not see, and so would its log.
    """

    __slots__ = ("_unreadable",)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._unreadable = False

    def data_received(self, data: bytes) -> None:
        """Read on, unless there is no sense in it."""
        if self._unreadable:
            return
        super().data_received(data)
        failure = getattr(self._messages[-1][0], "exc", None) if self._messages else None
        if failure is not None:
            failure.__traceback__ = None  # it holds what could not be read
            self._unreadable = True

    def _make_error_handler(self, err_info: _ErrInfo) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
        application = self._request_handler
        assert application is not None

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            request[UNREADABLE] = _unreadable(err_info.exc)
            response = await application(request)
            response.force_close()
            return response

        return answer


class _Server(web.Server):
    """Makes such connections."""

    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """aiohttp's runner with such connections."""

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()

        def make_request(message: Any, *rest: Any) -> web.BaseRequest:
            return server.request_factory(_NOTHING_READ if message is ERROR else message, *rest)

        return _Server(
            server.request_handler,
            request_factory=make_request,
            handler_cancellation=server.handler_cancellation,
            loop=asyncio.get_running_loop(),
            **server._kwargs,  # noqa: SLF001 - nothing else tells how the application wants it made
        )
