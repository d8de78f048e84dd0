"""Our side: a client, its sessions and its tokens on a platform that runs."""

import asyncio
import json

from aiohttp import ClientSession

from deploy.running.components import program
from tests.bench.accounting import Accounting
from tests.bench.peers.contest import Side
from tests.bench.peers.requests import Client, algorithm, post
from tests.bench.running import BenchPlatform
from tests.support.token_api import USER
from tests.support.waiting import eventually

NAME = "dragoman"
TOKEN_PATH = "/oauth/v2/token"
INTROSPECTION_PATH = "/oauth/v2/introspect"
_GRANTS = ("client_credentials", "password", "refresh_token")
_AT_ONCE = 4
_ROTATION_SECONDS = 60.0


def our_side(platform: BenchPlatform) -> Side:
    """Where the gateway answers, and every process that has a part in it."""
    return Side(NAME, platform.url, Accounting(platform.processes))


async def new_client(platform: BenchPlatform, client_id: str) -> Client:
    """A client with a secret that the platform generated."""
    grants = [word for grant in _GRANTS for word in ("--grant", grant)]
    made = await platform.run(program("dragoman"), "client", "create", client_id, *grants, "--json")
    return Client(client_id, str(json.loads(made)["client_secret"]))


async def refresh_tokens(http: ClientSession, platform: BenchPlatform, client: Client, number: int) -> list[str]:
    """The refresh tokens of so many sessions of a demo user."""
    body = client.form(grant_type="password", **USER)
    turn = asyncio.Semaphore(_AT_ONCE)  # so that none has to wait long for the hash pool

    async def one() -> str:
        async with turn:
            return str((await post(http, platform.url + TOKEN_PATH, body))["refresh_token"])

    return list(await asyncio.gather(*(one() for _ in range(number))))


async def sign_with(http: ClientSession, platform: BenchPlatform, client: Client, wanted: str) -> None:
    """Have new tokens signed by a key of this algorithm, and return once they are."""
    await platform.run(program("dragoman"), "keys", "rotate", "--algorithm", wanted, "--now")

    async def signs() -> bool | None:
        return True if await algorithm(http, platform.url + TOKEN_PATH, client) == wanted else None

    await eventually(signs, _ROTATION_SECONDS, f"tokens are signed with {wanted}")


async def directus_token(http: ClientSession, platform: BenchPlatform, email: str, password: str) -> str:
    """The access token of a sign-in by the dialect `directus`."""
    async with http.post(f"{platform.url}/auth/login", json={"email": email, "password": password}) as response:
        said = await response.json()
        assert response.status == 200, said
        return str(said["data"]["access_token"])
