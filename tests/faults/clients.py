"""The kinds of clients whose requests make up the traffic, and how each of them judges what it is told."""

import asyncio
from collections.abc import Sequence
from itertools import count
from typing import Any

import asyncpg
import jwt
from aiohttp import ClientSession

from deploy.running.environment import SERVICES
from tests.faults.traffic import Asker, Client
from tests.support.platform import Platform
from tests.support.token_api import CLIENT, USER
from tests.support.waiting import eventually

IDEMPOTENT = ("client_credentials", "refresh", "introspect", "revoke", "send_code")
"""The kinds whose calls may be repeated, so that the death of one of two replicas fails none of them."""
TOKEN = "/oauth/v2/token"
_SETTLED_SECONDS = 2.0
_MOST_MESSAGES = 1000
_addresses = count()


class ClientCredentials:
    """Asks for tokens of its own. Wrong: a token for somebody else, or the same one again."""

    kind = "client_credentials"

    def __init__(self, period: float) -> None:
        self.period = period
        self._seen: set[str] = set()

    async def prepare(self, ask: Asker) -> None:
        """Nothing is needed."""

    async def turn(self, ask: Asker) -> None:
        """One token."""
        reply = await ask.ask("POST", TOKEN, {"grant_type": "client_credentials", **CLIENT})
        if not reply.ok:
            _judge_error(ask, reply.status)
            return
        claims = _claims(reply.body)
        if (claims["client_id"], claims["sub"]) != (CLIENT["client_id"], CLIENT["client_id"]):
            ask.wrong("a token for somebody else")
        if claims["jti"] in self._seen:
            ask.wrong("the same token again")
        self._seen.add(claims["jti"])


class PasswordSignIn:
    """Signs in. Wrong: being somebody else, or in a session that there was already. It keeps the `sessions` it got."""

    kind = "password"

    def __init__(self, period: float) -> None:
        self.period = period
        self.sessions: set[str] = set()
        self._user = ""

    async def prepare(self, ask: Asker) -> None:
        """Learn who one is."""
        body = await ask.patiently("POST", TOKEN, {"grant_type": "password", **CLIENT, **USER})
        claims = _claims(body)
        self._user = claims["sub"]
        self.sessions.add(claims["sid"])

    async def turn(self, ask: Asker) -> None:
        """One sign-in."""
        reply = await ask.ask("POST", TOKEN, {"grant_type": "password", **CLIENT, **USER})
        if not reply.ok:
            _judge_error(ask, reply.status)
            return
        claims = _claims(reply.body)
        if claims["sub"] != self._user:
            ask.wrong("signed in as somebody else")
        if claims["sid"] in self.sessions:
            ask.wrong("a session that there was already")
        self.sessions.add(claims["sid"])


class RefreshChain:
    """Keeps one session alive. Wrong: another session or user than its own, a successor that is none, a lost session.

    An answer that did not come is asked for again with the same token, as browsers do: within the platform's grace.
    """

    kind = "refresh"

    def __init__(self, period: float) -> None:
        self.period = period
        self.lost = False
        self._token = ""
        self._who = ("", "")

    async def prepare(self, ask: Asker) -> None:
        """Sign in."""
        body = await ask.patiently("POST", TOKEN, {"grant_type": "password", **CLIENT, **USER})
        self._token, self._who = body["refresh_token"], _who(body)

    async def turn(self, ask: Asker) -> None:
        """Present the token; go on with its successor."""
        if self.lost:
            return
        fields = {"grant_type": "refresh_token", **CLIENT, "refresh_token": self._token}
        reply = await ask.ask("POST", TOKEN, fields)
        if reply.ok:
            body = reply.body
            if _who(body) != self._who:
                ask.wrong("another session")
            if body["refresh_token"] == self._token:
                ask.wrong("a successor that is no other token")
            self._token = body["refresh_token"]
        elif reply.status == 400:
            self.lost = True
            ask.wrong("a session was lost")
        else:
            _judge_error(ask, reply.status)


class Introspect:
    """Asks what its own tokens say, a client's and a user's. Wrong: that one is not active, or another's claims."""

    kind = "introspect"

    def __init__(self, period: float) -> None:
        self.period = period
        self._tokens: list[str] = []
        self._turns = count()

    async def prepare(self, ask: Asker) -> None:
        """Get the two tokens."""
        for fields in ({"grant_type": "client_credentials"}, {"grant_type": "password", **USER}):
            self._tokens.append((await ask.patiently("POST", TOKEN, {**fields, **CLIENT}))["access_token"])

    async def turn(self, ask: Asker) -> None:
        """One question."""
        token = self._tokens[next(self._turns) % len(self._tokens)]
        reply = await ask.ask("POST", "/oauth/v2/introspect", {**CLIENT, "token": token})
        if not reply.ok:
            _judge_error(ask, reply.status)
            return
        body, claims = reply.body, _claims({"access_token": token})
        if body.get("active") is not True:
            ask.wrong("a good token is said to be bad")
        elif (body["jti"], body["sub"]) != (claims["jti"], claims["sub"]):
            ask.wrong("the claims of another token")


class Revoke:
    """Gets tokens, revokes them, and tries those that were revoked, by turns. Wrong: one that is accepted afterwards.

    The gateways hear of it from each other, so that a token counts two seconds after the answer. Whatever became of an
    answer that did not come, the token is revoked again until there is one.
    """

    kind = "revoke"

    def __init__(self, period: float) -> None:
        self.period = period
        self.revoked: list[tuple[float, str]] = []
        self._token = ""
        self._turns = count()

    async def prepare(self, ask: Asker) -> None:
        """Revoke one, so that there is one to try."""
        await self._get(ask)
        while self._token:
            await self._revoke(ask)

    async def turn(self, ask: Asker) -> None:
        """Get, revoke, ask about one, use one."""
        match next(self._turns) % 4:
            case 0 if not self._token:
                await self._get(ask)
            case 1 if self._token:
                await self._revoke(ask)
            case 2:
                await self._ask_about(ask, self._pick())
            case _:
                await self._use(ask, self._pick())

    async def _get(self, ask: Asker) -> None:
        reply = await ask.ask("POST", TOKEN, {"grant_type": "client_credentials", **CLIENT})
        if reply.ok:
            self._token = reply.body["access_token"]
        else:
            _judge_error(ask, reply.status)

    async def _revoke(self, ask: Asker) -> None:
        reply = await ask.ask("POST", "/oauth/v2/revoke", {**CLIENT, "token": self._token})
        if reply.ok:
            self.revoked.append((asyncio.get_running_loop().time(), self._token))
            self._token = ""
        else:
            _judge_error(ask, reply.status)

    def _pick(self) -> str:
        """Any that has been revoked for long enough, the oldest among them; "" when there is none yet."""
        long_ago = asyncio.get_running_loop().time() - _SETTLED_SECONDS
        settled = [token for at, token in self.revoked if at < long_ago]
        return settled[next(self._turns) * 7 % len(settled)] if settled else ""

    async def _ask_about(self, ask: Asker, token: str) -> None:
        if not token:
            return
        reply = await ask.ask("POST", "/oauth/v2/introspect", {**CLIENT, "token": token})
        if not reply.ok:
            _judge_error(ask, reply.status)
        elif reply.body.get("active") is not False:
            ask.wrong("a revoked token is said to be good")

    async def _use(self, ask: Asker, token: str) -> None:
        if not token:
            return
        reply = await ask.ask("GET", "/oauth/v2/userinfo", bearer=token, fine=(401,))
        if reply.status in {200, 403}:  # 403: accepted, and it is a client's
            ask.wrong("a revoked token is accepted")
        elif reply.status != 401:
            _judge_error(ask, reply.status)


class SendCode:
    """Asks for a code to a new address each time; to the same again until that was answered well.

    `told` are the addresses that must get one, with how many requests that took.
    """

    kind = "send_code"

    def __init__(self, period: float) -> None:
        self.period = period
        self.told: dict[str, int] = {}
        self._bearer = ""
        self._new()

    async def prepare(self, ask: Asker) -> None:
        """Get a token to ask with."""
        body = await ask.patiently("POST", TOKEN, {"grant_type": "client_credentials", **CLIENT})
        self._bearer = body["access_token"]

    async def turn(self, ask: Asker) -> None:
        """One code."""
        self._requests += 1
        reply = await ask.ask("POST", "/otp/send", {"email": self._address}, bearer=self._bearer)
        if reply.ok:
            self.told[self._address] = self._requests
            self._new()
        else:
            _judge_error(ask, reply.status)

    def _new(self) -> None:
        self._address, self._requests = f"fault-{next(_addresses)}@example.com", 0


def everybody(times: int = 1) -> list[Client]:
    """Clients of every kind, about 60 requests a second for each of `times`; sign-ins are few, since they cost most."""
    clients: list[Client] = [PasswordSignIn(0.5), SendCode(0.4)]
    for _ in range(times):
        clients += [ClientCredentials(0.1), ClientCredentials(0.1), Introspect(0.1), Revoke(0.1)]
        clients += [RefreshChain(0.25) for _ in range(4)]
    return clients


async def codes_lost_and_doubled(
    platform: Platform, clients: Sequence[Client], within: float = 20.0
) -> tuple[int, int]:
    """How many codes that were promised have not come within so long, and how many came again though asked for once."""
    told = {address: number for one in clients if isinstance(one, SendCode) for address, number in one.told.items()}
    assert 0 < len(told) < _MOST_MESSAGES / 2, "the inbox keeps no more"
    arrived: dict[str, set[int]] = {}
    loop = asyncio.get_running_loop()
    end = loop.time() + within

    async def look(http: ClientSession) -> bool | None:
        async with http.get(f"{platform.inbox['http']}/messages.json", params={"limit": _MOST_MESSAGES}) as response:
            for message in await response.json():
                arrived.setdefault(message["to"], set()).add(message["number"])
        return True if told.keys() <= arrived.keys() or loop.time() > end else None

    async with ClientSession() as http:
        await eventually(lambda: look(http), 2 * within, "the codes come")
    lost = sum(address not in arrived for address in told)
    once = [address for address, asked in told.items() if asked == 1 and address in arrived]
    return lost, sum(len(arrived[address]) - 1 for address in once)


async def sessions_made(platform: Platform) -> int:
    """How many sessions there are, whoever knows of them."""
    connection = await asyncpg.connect(platform.environment["DRAGOMAN_POSTGRES_URL"])
    try:
        return int(await connection.fetchval("SELECT count(*) FROM token.sessions"))
    finally:
        await connection.close()


async def events_left(platform: Platform, within: float = 20.0) -> dict[str, int]:
    """Events that have not been published within so long, by service; empty when every outbox is."""
    connection = await asyncpg.connect(platform.environment["DRAGOMAN_POSTGRES_URL"])
    try:
        loop = asyncio.get_running_loop()
        end = loop.time() + within

        async def look() -> dict[str, int] | None:
            counts = {name: await connection.fetchval(f"SELECT count(*) FROM {name}.outbox") for name in SERVICES}
            left = {name: number for name, number in counts.items() if number}
            return left if not left or loop.time() > end else None

        return await eventually(look, 2 * within, "the outboxes are empty")
    finally:
        await connection.close()


def _judge_error(ask: Asker, status: int) -> None:
    """Nothing and 503 are what an outage looks like; anything else says that the client itself was at fault."""
    if status not in {0, 503}:
        ask.wrong(f"status {status}")


def _claims(body: dict[str, Any]) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(body["access_token"], options={"verify_signature": False})
    return claims


def _who(body: dict[str, Any]) -> tuple[str, str]:
    claims = _claims(body)
    return claims["sub"], claims["sid"]
