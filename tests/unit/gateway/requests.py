"""Requests as the gateway's parts get them, without a server."""

import asyncio

from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request

from gateway.body import MAX_BODY_BYTES


def request(body: bytes = b"", **headers: str) -> web.Request:
    """A POST with this body; a header's underscore stands for a dash."""
    loop = asyncio.get_running_loop()
    stream = StreamReader(BaseProtocol(loop), 2 * MAX_BODY_BYTES, loop=loop)
    stream.feed_data(body)
    stream.feed_eof()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return make_mocked_request("POST", "/", headers=named, payload=stream, client_max_size=MAX_BODY_BYTES)
