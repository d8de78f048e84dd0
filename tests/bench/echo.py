"""An aiohttp server that gives a small JSON document back: what any request costs before something is done with it.

    python -m tests.bench.echo

Prints its port on 127.0.0.1 and serves for an hour, or until it is ended.
"""

import asyncio

import uvloop
from aiohttp import web

_LONGEST_SECONDS = 3600.0


async def _echo(request: web.Request) -> web.Response:
    return web.json_response({"said": await request.json()})


async def _serve() -> None:
    application = web.Application()
    application.add_routes([web.post("/echo", _echo)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)  # noqa: T201 - its answer
    await asyncio.sleep(_LONGEST_SECONDS)


if __name__ == "__main__":
    uvloop.run(_serve())
