"""The way to the server that can be written to, of one or several that a URL names."""

import asyncio
from typing import Any

import asyncpg
from asyncpg.connect_utils import SessionAttribute
from asyncpg.exceptions import TargetServerAttributeNotMatched

from shared.server_urls import one_each

_FAULTS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TargetServerAttributeNotMatched)


class Servers:
    """Connects to whichever server of `postgresql://user:password@one:5432,two:5432/database` takes writes.

    They are asked one after the other, beginning with the one that was right last, and each has its share of the time.
    The driver itself would spend all of it on the first one whose machine is gone without a word.
    """

    def __init__(self, url: str) -> None:
        self._urls = one_each(url)

    async def connect(self, seconds: float, **options: Any) -> "asyncpg.Connection[asyncpg.Record]":
        """A new connection within `seconds`; `options` are the driver's.

        Raises what the server said, where one has answered, or else what became of the way there.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        told: Exception | None = None
        for left, url in zip(range(len(self._urls), 0, -1), self._urls, strict=True):
            try:
                connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
                    url,
                    timeout=(end - loop.time()) / left,
                    target_session_attrs=SessionAttribute.read_write,
                    **options,
                )
            except _FAULTS as error:
                if told is None or not isinstance(error, OSError):
                    told = error
            else:
                self._urls = [url, *(other for other in self._urls if other != url)]
                return connection
        assert told is not None
        raise told
