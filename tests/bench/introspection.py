"""How fast introspection is, asked of `token` each time and answered from memory.

    make bench-introspection

Runs the platform on private servers, first with a gateway that has no Redis and therefore asks `token` every time, then
with one that has. Client, gateway and servers share the machine.
"""

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode

from aiohttp import ClientSession, TCPConnector

from deploy.servers.places import remove
from tests.bench.running import running_platform
from tests.support.platform import Platform
from tests.support.token_api import CLIENT, TokenApi

AT_ONCE = 32
WARM_UP = 100


async def measure(platform: Platform, token: str, number: int, connections: int) -> dict[str, float]:
    """Answers a second, and how long they took, over so many connections that are kept open."""
    took: list[float] = []
    body = urlencode({**CLIENT, "token": token})
    headers = {"Content-Type": "application/x-www-form-urlencoded"}

    async def ask(session: ClientSession, times: int) -> None:
        for _ in range(times):
            started = time.perf_counter()
            async with session.post("/oauth/v2/introspect", data=body, headers=headers) as response:
                said = await response.json()
            took.append(time.perf_counter() - started)
            assert said["active"] is True, said

    async with ClientSession(platform.url, connector=TCPConnector(limit=connections)) as session:
        await ask(session, WARM_UP)
        took.clear()
        started = time.perf_counter()
        await asyncio.gather(*(ask(session, number // connections) for _ in range(connections)))
        seconds = time.perf_counter() - started
    ordered = sorted(took)
    return {
        "per_second": round(len(took) / seconds),
        "p50_ms": round(ordered[len(ordered) // 2] * 1000, 2),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 2),
    }


async def main(number: int) -> None:
    """Measure both and print."""
    home = Path(tempfile.mkdtemp(prefix="dragoman-bench-"))
    result: dict[str, dict[str, float]] = {}
    try:
        async with running_platform(home) as platform, ClientSession() as http:
            token = (await TokenApi(platform, http).password()).body["access_token"]
            for name, settings in (("token", {"DRAGOMAN_GATEWAY_REDIS_URL": ""}), ("memory", {})):
                await platform.start("gateway", **settings).ready()
                for connections in (1, AT_ONCE):
                    result[f"{name}, {connections} at once"] = await measure(platform, token, number, connections)
    finally:
        remove(home)
    print(json.dumps(result, indent=2))  # noqa: T201 - the result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure introspection.")
    parser.add_argument("--number", type=int, default=2000, help="of requests in each of the four rounds")
    asyncio.run(main(parser.parse_args().number))
