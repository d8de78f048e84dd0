"""A TCP proxy between a client and a server, to cut, freeze or refuse the connections through it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self
from urllib.parse import urlsplit


class TcpProxy:
    """Passes bytes on to `host`:`port` until it is told otherwise; its own `port` is picked when it is entered.

    With `others` a connection goes to the first of the ports that accepts it, as where a cluster has one address.
    While `refusing`, new connections are reset; `accepted` counts all that came.
    """

    def __init__(self, host: str, port: int, *others: int) -> None:
        self._targets = [(host, one) for one in (port, *others)]
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._budget: int | None = None
        self.refusing = False
        self.port = 0
        self.accepted = 0

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Refuse new connections and cut the standing ones."""
        if self._server is not None:
            self._server.close()
        self.cut()
        for pump in self._pumps:
            pump.cancel()
        if self._pumps:
            await asyncio.wait(self._pumps)

    def cut(self) -> None:
        """Reset every connection; new ones are still let through."""
        for writer in self._writers:
            writer.transport.abort()

    def cut_next_after(self, size: int) -> None:
        """Reset the next connections once the server has sent `size` bytes over all of them."""
        self._budget = size

    def freeze(self) -> None:
        """Pass nothing on any more, without telling either side."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Pass on again, also what was held back."""
        self._flowing.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.refusing:
            writer.transport.abort()
            return
        connection = await self._connect()
        if connection is None:
            writer.transport.abort()
            return
        upstream_reader, upstream = connection
        self._writers |= {writer, upstream}
        pumps = [
            asyncio.create_task(self._pump(reader, upstream, from_server=False)),
            asyncio.create_task(self._pump(upstream_reader, writer, from_server=True)),
        ]
        self._pumps.update(pumps)
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for end in (writer, upstream):
            end.transport.abort()
        self._writers -= {writer, upstream}
        await asyncio.wait(pumps)
        self._pumps.difference_update(pumps)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for target in self._targets:
            with suppress(OSError):
                return await asyncio.open_connection(*target)
        return None

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_server: bool) -> None:
        try:
            while data := await reader.read(65536):
                await self._flowing.wait()
                if from_server and self._budget is not None:
                    data = data[: self._budget]
                    self._budget -= len(data)
                writer.write(data)
                await writer.drain()
                if self._budget == 0:
                    self._budget = None
                    return
        except OSError:
            return


@asynccontextmanager
async def proxied_redis(redis_url: str) -> AsyncIterator[tuple[TcpProxy, str]]:
    """A proxy to Redis, and the URL that leads through it."""
    parts = urlsplit(redis_url)
    async with TcpProxy(parts.hostname or "", parts.port or 6379) as proxy:
        netloc = f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{proxy.port}".removeprefix("@")
        yield proxy, parts._replace(netloc=netloc).geturl()
