"""Tokens that were revoked, in each of the four ways, and are tried again and again wherever they may be accepted."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self

import jwt
from aiohttp import ClientSession, ClientTimeout
from pydantic import SecretStr

from cli.operator import operator_bus
from shared import context
from shared.bus.rabbit import RabbitBus
from shared.contracts.token import CreateClient, Revoke
from tests.support.leaks import USED_SECRETS
from tests.support.platform import ISSUER, Platform
from tests.support.token_api import CLIENT
from tests.support.verifier_process import VerifierProcess
from tests.support.waiting import eventually

TOKEN = "/oauth/v2/token"
_DOOMED = {"client_id": "doomed", "client_secret": "doomed-secret"}
_FOLLOWER = {"client_id": "follower", "client_secret": "follower-secret"}
_OWNER = {"username": "admin@example.com", "password": "j8BDWYrQwDF5u4Yu"}
_CALL_SECONDS = 10.0
_PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class Dead:
    """A token that was revoked, and in which way."""

    way: str
    token: str


class Revoked:
    """Revokes tokens through the first gateway and by the operator's hand, and tries them while inside.

    Those that are known `everywhere` are tried at each gateway of `urls` and at another service's verifier, one after
    the other without end; `wrong` are the times that one was accepted. The service follows the last gateway.
    """

    def __init__(self, platform: Platform, urls: Sequence[str]) -> None:
        self._platform = platform
        self._urls = urls
        self._stack = AsyncExitStack()
        self._known: list[Dead] = []
        self._trying = asyncio.Lock()
        self.values: set[str] = set()
        """The sessions and single tokens among them, as the stream of revocations names them."""
        self.tried = 0
        self.wrong: list[str] = []

    async def __aenter__(self) -> Self:
        """Make the clients that are needed, start the service, and begin."""
        async with AsyncExitStack() as stack:
            self._http = await stack.enter_async_context(ClientSession(timeout=ClientTimeout(8.0)))
            self._bus: RabbitBus = await stack.enter_async_context(operator_bus(self._platform.environment))
            for client, scopes in ((_DOOMED, []), (_FOLLOWER, ["revocations:read"])):
                await self._operate(
                    CreateClient(
                        client_id=client["client_id"],
                        name=client["client_id"],
                        client_secret=SecretStr(client["client_secret"]),
                        grants=["client_credentials"],
                        scopes=scopes,
                        replace=True,
                    )
                )
                USED_SECRETS.note(client["client_secret"])
            self._verifier = await VerifierProcess.start(self._urls[-1], ISSUER, *_FOLLOWER.values())
            stack.push_async_callback(self._verifier.stop)
            self._task = asyncio.create_task(self._go_on())
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End; raises what trying has raised."""
        self._task.cancel()
        results = await asyncio.gather(self._task, return_exceptions=True)
        await self._stack.aclose()
        if error is None and not isinstance(results[0], asyncio.CancelledError):
            raise AssertionError("trying the revoked tokens has ended") from results[0]

    async def revoke(self) -> list[Dead]:
        """Get a token and revoke it, in each way. Whoever was asked refuses those of a client or a session at once."""
        owner = await self._get({"grant_type": "password", **CLIENT, **_OWNER})
        user = await self._get({"grant_type": "password", **CLIENT, **_OWNER})
        single = await self._get({"grant_type": "client_credentials", **CLIENT})
        doomed = await self._get({"grant_type": "client_credentials", **_DOOMED})
        found = [
            Dead("session", owner["access_token"]),
            Dead("token", single["access_token"]),
            Dead("user", user["access_token"]),
            Dead("client", doomed["access_token"]),
        ]
        for presented in (owner["refresh_token"], single["access_token"]):
            async with self._http.post(f"{self._urls[0]}/oauth/v2/revoke", json={**CLIENT, "token": presented}) as told:
                assert told.status == 200, await told.text()
        self.values |= {_said(owner)["sid"], _said(single)["jti"]}
        for one in found[:2]:
            assert await self._is_refused(self._urls[0], one), f"{one.way}: accepted where it was revoked"
        await self._operate(Revoke(kind="user", value=_said(user)["sub"]))
        await self._operate(Revoke(kind="client", value=_DOOMED["client_id"]))
        return found

    async def everywhere(self, dead: Iterable[Dead], since: float, within: float = 15.0) -> float:
        """Wait until these are refused everywhere; the seconds that took from the moment `since`. Then they are known.

        `since` is by the monotonic clock, as the event loop's.
        """
        loop = asyncio.get_running_loop()
        waiting = list(dead)
        for one in waiting:
            for url in self._urls:
                await eventually(partial(self._refused, url, one), within, f"{one.way}: refused")
        at = loop.time()
        async with self._trying:
            for one in waiting:
                await self._verifier.offer(one.token)
                refused = await self._verifier.told(within)
                assert refused["outcome"] == "TokenRevoked", (one.way, refused)
                at = max(at, refused["at"])
        self._known += waiting
        return max(0.0, at - since)

    async def _go_on(self) -> None:
        while True:
            for one in list(self._known):
                for url in self._urls:
                    if not await self._is_refused(url, one):
                        self.wrong.append(f"{one.way}: accepted at a gateway")
                async with self._trying:
                    outcome = (await self._verifier.offer(one.token))["outcome"]
                    if outcome == "ok":
                        self.wrong.append(f"{one.way}: accepted by the verifier")
                    await self._verifier.told()
                self.tried += 1
                await asyncio.sleep(_PAUSE_SECONDS)  # it is not meant to be a load
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _refused(self, url: str, one: Dead) -> bool | None:
        return True if await self._is_refused(url, one) else None

    async def _is_refused(self, url: str, one: Dead) -> bool:
        """Whether the gateway does not take the token; one that cannot judge says 503."""
        headers = {"Authorization": f"Bearer {one.token}"}
        async with self._http.get(f"{url}/oauth/v2/userinfo", headers=headers) as answer:
            return answer.status in {401, 503}

    async def _get(self, fields: dict[str, str]) -> dict[str, Any]:
        async with self._http.post(self._urls[0] + TOKEN, json=fields) as answer:
            body: dict[str, Any] = await answer.json()
            assert answer.status == 200, body
        USED_SECRETS.note_fields(body)
        return body

    async def _operate(self, call: Any) -> None:
        with context.request("operator", _CALL_SECONDS):
            await self._bus.call(call)


def _said(body: dict[str, Any]) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(body["access_token"], options={"verify_signature": False})
    return claims
