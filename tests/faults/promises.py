"""What the platform has confirmed to its clients, and what its connections leave at PostgreSQL."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import jwt
from aiohttp import ClientSession

from tests.faults.clients import TOKEN, PasswordSignIn, Revoke, SendCode
from tests.faults.traffic import Asker, Client
from tests.support.token_api import CLIENT
from tests.support.waiting import eventually

_CODE_SECONDS = 2.0
_OF_COMPONENTS = "datname = current_database() AND application_name LIKE 'dragoman %'"
_LEFT_OPEN = f"""
    SELECT application_name || ': ' || state || ', ' || query FROM pg_stat_activity
    WHERE {_OF_COMPONENTS} AND state <> 'idle' AND now() - xact_start > interval '1 second'
"""
_CONNECTIONS = f"SELECT application_name, count(*) FROM pg_stat_activity WHERE {_OF_COMPONENTS} GROUP BY 1"


class SignUp(SendCode):
    """Becomes a new user each time, by the code that was sent. It keeps the `users` and the `sessions` it got.

    Whether a sign-in that was answered by 503 has spent its code is not known, so that somebody else is next. So it is
    after a while without the code: it may be in an outbox that nobody can read before the fault is over.
    """

    kind = "sign_up"

    def __init__(self, period: float, inbox: str) -> None:
        """`inbox` is the address of the inbox that codes come to."""
        self.users: set[str] = set()
        self.sessions: set[str] = set()
        self._inbox = inbox
        self._awaiting = ""
        self._awaited_since = 0.0
        super().__init__(period)

    async def turn(self, ask: Asker) -> None:
        """Ask for a code; sign in with it once it is there."""
        if not self._awaiting:
            address = self._address
            await super().turn(ask)
            self._awaiting = address if address in self.told else ""
            self._awaited_since = asyncio.get_running_loop().time()
        elif code := await self._code():
            fields = {"grant_type": "password", **CLIENT, "username": self._awaiting, "password": code}
            self._awaiting = ""
            reply = await ask.ask("POST", TOKEN, fields)
            if reply.ok:
                claims = jwt.decode(reply.body["access_token"], options={"verify_signature": False})
                if claims["sub"] in self.users:
                    ask.wrong("a user that there was already")
                self.users.add(claims["sub"])
                self.sessions.add(claims["sid"])
            elif reply.status not in {0, 503}:
                ask.wrong(f"status {reply.status}")
        elif asyncio.get_running_loop().time() > self._awaited_since + _CODE_SECONDS:
            self._awaiting = ""

    async def _code(self) -> str:
        query = {"to": self._awaiting}
        async with ClientSession() as http, http.get(f"{self._inbox}/messages.json", params=query) as response:
            messages = await response.json()
        found = re.search(r"\b\d{6}\b", messages[0]["text"]) if messages else None
        return found[0] if found else ""


async def forgotten(url: str, clients: Sequence[Client]) -> list[str]:
    """Users, sessions and revocations that were confirmed to these clients and that the database at `url` lacks."""
    confirmed = {
        "SELECT id::text FROM identity.users": {
            user for one in clients if isinstance(one, SignUp) for user in one.users
        },
        "SELECT id::text FROM token.sessions": {
            session for one in clients if isinstance(one, PasswordSignIn | SignUp) for session in one.sessions
        },
        "SELECT value FROM token.revocations": {
            jwt.decode(token, options={"verify_signature": False})["jti"]
            for one in clients
            if isinstance(one, Revoke)
            for _, token in one.revoked
        },
    }
    assert all(confirmed.values()), "nothing was confirmed"
    async with connected(url) as connection:
        return [
            f"{query}: {lost}"
            for query, values in confirmed.items()
            for lost in values - {row[0] for row in await connection.fetch(query)}
        ]


async def left_open(url: str, within: float = 5.0) -> list[str]:
    """Transactions and statements of the components that are open for longer than a second, for so long."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    async with connected(url) as connection:

        async def look() -> list[str] | None:
            found = [row[0] for row in await connection.fetch(_LEFT_OPEN)]
            return found if not found or loop.time() > end else None

        return await eventually(look, 2 * within, "no transaction stays open")


async def connections(url: str) -> dict[str, int]:
    """How many connections each component has at the server of `url`."""
    async with connected(url) as connection:
        return {row["application_name"]: row["count"] for row in await connection.fetch(_CONNECTIONS)}


@asynccontextmanager
async def connected(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection of the administrator's, past the platform's link."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()
