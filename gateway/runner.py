"""What serves the application, so that nobody can fill the memory with requests that cannot be read."""

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler


class _Connection(RequestHandler):
    """Reads no further once something on it could not be read: it ends with the answer that says so.

    aiohttp would try each further piece, up to 256 KiB, and keep it with the failure that it leads to, until Python
    looks for cycles: 8 MiB of header stayed in memory whole, long after the connection.
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


class _Server(web.Server):
    """Makes such connections."""

    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """aiohttp's runner with such connections."""

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        return _Server(
            server.request_handler,
            request_factory=server.request_factory,
            handler_cancellation=server.handler_cancellation,
            loop=asyncio.get_running_loop(),
            **server._kwargs,  # noqa: SLF001 - nothing else tells how the application wants it made
        )
