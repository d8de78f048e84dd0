"""A balancer in front of gateways that does what a Kubernetes Service does: connections, by readiness, no retries."""

import asyncio
from itertools import count
from typing import Self

from aiohttp import ClientError, ClientSession, ClientTimeout

from tests.support.platform import Replica
from tests.support.waiting import eventually

_LOOK_SECONDS = 0.2


class Balancer:
    """Gives each new connection to the next gateway whose /readyz said 200 when it was last asked.

    A connection that was given stays where it is, and one that a gateway refuses is lost.
    """

    def __init__(self) -> None:
        self._backends: dict[int, int] = {}
        self._ready: list[int] = []
        self._turn = count()
        self._connections: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        """Listen."""
        self._http = ClientSession(timeout=ClientTimeout(1.0))
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._watch = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close everything."""
        self._watch.cancel()
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(self._watch, *self._connections, return_exceptions=True)
        await self._http.close()

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def add(self, gateway: Replica) -> None:
        """Take a gateway in; returns once it gets connections."""
        port = (await gateway.logged("listening"))["port"]
        self._backends[port] = (await gateway.logged("admin port open"))["port"]

        async def is_ready() -> bool | None:
            assert not self._watch.done(), self._watch
            return True if port in self._ready else None

        await eventually(is_ready, 30.0, "the balancer finds the gateway ready")

    async def _look(self) -> None:
        while True:
            backends = list(self._backends.items())  # one may be added meanwhile
            self._ready = [port for port, admin in backends if await self._is_ready(admin)]
            await asyncio.sleep(_LOOK_SECONDS)  # as a kubelet does, who looks again and again

    async def _is_ready(self, admin_port: int) -> bool:
        try:
            async with self._http.get(f"http://127.0.0.1:{admin_port}/readyz") as answer:
                return answer.status == 200
        except (ClientError, TimeoutError):
            return False

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        ends = {writer}
        try:
            if not (ready := self._ready):
                return
            there, back = await asyncio.open_connection("127.0.0.1", ready[next(self._turn) % len(ready)])
            ends.add(back)
            self._writers |= ends
            await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))
        except OSError:
            return
        finally:
            self._writers -= ends
            for end in ends:
                end.transport.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()  # the other side has said all: so do we, once it is sent
