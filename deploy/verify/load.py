"""Clients of every kind who go on asking until they are told to stop, and count what was not as it should be.

    python -m deploy.verify.load --gateway http://dragoman-gateway

It takes the demo data. On stderr it says `under load` once every kind of request has succeeded; on SIGTERM, SIGINT or
after `--seconds` it prints one JSON line: `requests`, `errors` by status, `wrong` answers, the `slowest` answer in
seconds, `kinds` with their requests, and its `seconds`. The exit status is 0 when there was no error, nothing wrong,
and an answer for every kind.
"""

import argparse
import asyncio
import json
import secrets
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientConnectionError, ClientError, ClientSession, ClientTimeout, TCPConnector

CLIENT = {"client_id": "abc123", "client_secret": "456789"}
USER = {"username": "someone@example.com", "password": "def56789"}
TOKEN, INTROSPECT, SEND = "/oauth/v2/token", "/oauth/v2/introspect", "/otp/send"
_HAS = {TOKEN: "access_token", INTROSPECT: "active", SEND: "data"}
"""What an answer of each path must have."""
_PATIENCE_SECONDS = 8.0
"""Longer than the gateway may take to say that it has no answer."""


@dataclass
class Tally:
    """What came of all requests; `began` is called once, when every kind has been answered well."""

    began: Callable[[], None]
    requests: Counter[str] = field(default_factory=Counter)
    good: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest: float = 0.0

    def note_good(self, kind: str) -> None:
        """Count an answer that is as it should be."""
        answered = len(self.good)
        self.good[kind] += 1
        if answered < len(self.good) == len(KINDS):
            self.began()

    def report(self, seconds: float) -> dict[str, Any]:
        """All of it, for the JSON line."""
        return {
            "requests": self.requests.total(),
            "errors": dict(self.errors),
            "wrong": self.wrong,
            "slowest": round(self.slowest, 3),
            "kinds": dict(self.requests),
            "seconds": round(seconds, 1),
        }

    @property
    def faultless(self) -> bool:
        """Whether every kind was answered, and all as it should be."""
        return not self.errors and not self.wrong and len(self.good) == len(KINDS)


class Client:
    """Asks one kind of thing again and again."""

    def __init__(self, http: ClientSession, gateway: str, tally: Tally) -> None:
        self._http = http
        self._gateway = gateway
        self._tally = tally
        self._refresh_token = ""
        self._access_token = ""
        self._seen: set[str] = set()

    async def client_credentials(self) -> None:
        """A client's token; never the same again."""
        body = await self._grant("client_credentials", grant_type="client_credentials")
        if body is None:
            return
        self._access_token = body["access_token"]
        if self._access_token in self._seen:
            self._tally.wrong.append("client_credentials: the same token again")
        self._seen.add(self._access_token)

    async def password(self) -> None:
        """A user signs in."""
        await self._grant("password", grant_type="password", **USER)

    async def refresh(self) -> None:
        """Keep one session alive. A token whose answer did not come is presented again; a lost session is an error."""
        if self._refresh_token:
            body = await self._grant("refresh", grant_type="refresh_token", refresh_token=self._refresh_token)
        else:
            body = await self._grant("password", grant_type="password", **USER)
        if body is not None:
            self._refresh_token = body.get("refresh_token", "")

    async def introspect(self) -> None:
        """Ask what a good token says."""
        if not self._access_token:
            await self.client_credentials()
            return
        body = await self._ask("introspect", INTROSPECT, {**CLIENT, "token": self._access_token})
        if body is not None and body["active"] is not True:
            self._tally.wrong.append("introspect: a good token is said to be bad")

    async def code(self) -> None:
        """Have a code sent to an address that nobody had before."""
        if not self._access_token:
            await self.client_credentials()
            return
        address = f"load-{secrets.token_hex(6)}@example.com"
        await self._ask("code", SEND, {"email": address}, {"Authorization": f"Bearer {self._access_token}"})

    async def _grant(self, kind: str, **fields: str) -> dict[str, Any] | None:
        return await self._ask(kind, TOKEN, {**CLIENT, **fields})

    async def _ask(
        self, kind: str, path: str, body: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> dict[str, Any] | None:
        """One request; its answer, or None for one that is counted as an error or as wrong."""
        loop, tally = asyncio.get_running_loop(), self._tally
        tally.requests[kind] += 1
        began = loop.time()
        try:
            async with self._http.post(self._gateway + path, json=dict(body), headers=headers) as answer:
                text = await answer.text()
                status = str(answer.status)
        except TimeoutError:
            text, status = "", "time-out"
        except ClientError as error:
            text, status = "", "connection" if isinstance(error, ClientConnectionError) else type(error).__name__
        tally.slowest = max(tally.slowest, loop.time() - began)
        if status != "200":
            tally.errors[status] += 1
            return None
        try:
            parsed: dict[str, Any] = json.loads(text)
            _ = parsed[_HAS[path]]
        except (ValueError, KeyError, TypeError):
            tally.wrong.append(f"{kind}: an answer without {_HAS[path]}")
            return None
        tally.note_good(kind)
        return parsed


KINDS: dict[str, tuple[Callable[[Client], Awaitable[None]], float]] = {
    "client_credentials": (Client.client_credentials, 0.1),
    "introspect": (Client.introspect, 0.1),
    "refresh": (Client.refresh, 0.2),
    "password": (Client.password, 0.5),
    "code": (Client.code, 0.5),
}
"""What each kind of client does, and how many seconds from one turn to the next. Together they need every component."""


async def load(gateway: str, stopped: asyncio.Event, began: Callable[[], None]) -> Tally:
    """Two clients of each kind, one of which opens a connection for each request, ask until `stopped`.

    `began` is called once, when every kind has been answered well.
    """
    tally = Tally(began)
    timeout = ClientTimeout(_PATIENCE_SECONDS)
    async with (
        ClientSession(timeout=timeout, connector=TCPConnector(limit=0)) as lasting,
        ClientSession(timeout=timeout, connector=TCPConnector(limit=0, force_close=True)) as hasty,
        asyncio.TaskGroup() as group,
    ):
        for turn, period in KINDS.values():
            for http in (lasting, hasty):
                group.create_task(_go_on(Client(http, gateway, tally), turn, period, stopped))
    return tally


async def _go_on(
    client: Client, turn: Callable[[Client], Awaitable[None]], period: float, stopped: asyncio.Event
) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time()
    while not stopped.is_set():
        await turn(client)
        due = max(due + period, loop.time())
        try:
            async with asyncio.timeout_at(due):
                await stopped.wait()
        except TimeoutError:
            pass


async def _run(gateway: str, seconds: float) -> int:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    loop.call_later(seconds, stopped.set)
    began = loop.time()
    tally = await load(gateway, stopped, lambda: print("under load", file=sys.stderr, flush=True))
    print(json.dumps(tally.report(loop.time() - began)), flush=True)
    return 0 if tally.faultless else 1


def main() -> int:
    """Ask, print, and say by the exit status whether all was well."""
    parser = argparse.ArgumentParser(prog="python -m deploy.verify.load", description=__doc__)
    parser.add_argument("--gateway", required=True, help="where clients reach the gateway")
    parser.add_argument("--seconds", type=float, default=900.0, help="end by itself after so long (default 900)")
    arguments = parser.parse_args()
    return asyncio.run(_run(arguments.gateway, arguments.seconds))


if __name__ == "__main__":
    sys.exit(main())
