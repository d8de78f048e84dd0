"""Our side: where the platform answers, and what signs its tokens."""

from aiohttp import ClientSession

from deploy.running.components import program
from tests.bench.accounting import Accounting
from tests.bench.peers.contest import Side
from tests.bench.peers.requests import Client, algorithm
from tests.bench.running import BenchPlatform
from tests.support.waiting import eventually

TOKEN_PATH = "/oauth/v2/token"
INTROSPECTION_PATH = "/oauth/v2/introspect"
_ROTATION_SECONDS = 60.0


def our_side(platform: BenchPlatform) -> Side:
    """Where the gateway answers, and every process that has a part in it."""
    return Side("dragoman", platform.url, Accounting(platform.processes))


async def sign_with(http: ClientSession, platform: BenchPlatform, client: Client, wanted: str) -> None:
    """Have new tokens signed by a key of this algorithm, and return once they are."""
    await platform.run(program("dragoman"), "keys", "rotate", "--algorithm", wanted, "--now")

    async def signs() -> bool | None:
        return True if await algorithm(http, platform.url + TOKEN_PATH, client) == wanted else None

    await eventually(signs, _ROTATION_SECONDS, f"tokens are signed with {wanted}")
