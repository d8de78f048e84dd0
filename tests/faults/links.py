"""Proxies between the platform and its servers, each on a thread of its own, so that a whole module can share them."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from tests.support.proxy import TcpProxy

T = TypeVar("T")


class Link:
    """One proxy, told from any thread to cut, freeze or refuse; see `TcpProxy` for what each does."""

    def __init__(self, proxy: TcpProxy, loop: asyncio.AbstractEventLoop) -> None:
        self._proxy = proxy
        self._loop = loop

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        return self._proxy.port

    def through(self, url: str) -> str:
        """The same URL, by way of this proxy."""
        parts = urlsplit(url)
        return urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{self.port}"))

    def cut(self) -> None:
        """Reset every connection; new ones are still let through."""
        self._tell(self._proxy.cut)

    def freeze(self) -> None:
        """Pass nothing on any more, without telling either side."""
        self._tell(self._proxy.freeze)

    def thaw(self) -> None:
        """Pass on again, also what was held back."""
        self._tell(self._proxy.thaw)

    def refuse(self, *, refusing: bool) -> None:
        """Reset new connections, or let them through again."""
        self._tell(lambda: setattr(self._proxy, "refusing", refusing))

    def _tell(self, what: Callable[[], None]) -> None:
        async def do() -> None:
            what()

        asyncio.run_coroutine_threadsafe(do(), self._loop).result()


@contextmanager
def linked(host: str, port: int, *others: int) -> Iterator[Link]:
    """A proxy to a server, passing on while inside; with `others`, to the first of the ports that accepts."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name=f"link to {port}", daemon=True)
    thread.start()

    def run(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    proxy = TcpProxy(host, port, *others)
    try:
        run(proxy.__aenter__())
        try:
            yield Link(proxy, loop)
        finally:
            run(proxy.__aexit__())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
