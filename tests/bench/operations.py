"""The operations that are measured: what is asked, and what a success looks like."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlencode

from aiohttp import ClientSession, ClientTimeout
from pydantic import SecretStr

from cli.operator import operator_bus
from deploy.running.components import program
from gateway.forward_auth import PATH as FORWARD_AUTH
from shared import context
from shared.contracts.identity import CreateUser
from tests.bench.load import TOKEN, Load, Shot
from tests.support.platform import Platform

CLIENT_ID = "bench"
PASSWORD = "a password for benchmarks"
SIGN_INS = ("sign-in", "sign-in-directus")
USERS = 32
"""So many that no row of one user is what everybody waits for."""

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_JSON = {"Content-Type": "application/json"}
_AT_ONCE = 16
_ACCESS_TOKENS = 16
_SIGN_IN_SECONDS = 30.0
_RAMP_SECONDS = 2
"""Until as many sign-ins leave the hash pool as come to it; at first they all wait before it."""


@dataclass(frozen=True)
class Stage:
    """A platform with a client and users for the load."""

    url: str
    http: ClientSession
    client: Mapping[str, str]
    users: list[str]

    @classmethod
    async def set(cls, platform: Platform, http: ClientSession) -> Self:
        """Make the client, with a secret that the platform generates, and the users."""
        command = [program("dragoman"), "client", "create", CLIENT_ID, "--json"]
        for grant in ("client_credentials", "password", "refresh_token"):
            command += ["--grant", grant]
        secret = json.loads(await platform.run(*command))["client_secret"]
        users = [f"bench-{number}@example.com" for number in range(USERS)]
        async with operator_bus(platform.environment) as bus:
            for email in users:
                with context.request("bench", 10.0):
                    await bus.call(CreateUser(email=email, password=SecretStr(PASSWORD), enforce_policy=False))
        return cls(platform.url, http, {"client_id": CLIENT_ID, "client_secret": secret}, users)

    async def oauth2_sessions(self, number: int) -> list[dict[str, Any]]:
        """So many sign-ins of the dialect oauth2: access and refresh tokens."""
        return await self._sessions([self.sign_in(user) for user in self._spread(number)])

    async def directus_sessions(self, number: int) -> list[dict[str, Any]]:
        """So many sign-ins of the dialect directus: access and refresh tokens."""
        found = await self._sessions([self.directus_sign_in(user) for user in self._spread(number)])
        return [one["data"] for one in found]

    def sign_in(self, user: str) -> Shot:
        """A password grant."""
        return self.oauth2("/oauth/v2/token", grant_type="password", username=user, password=PASSWORD)

    def directus_sign_in(self, user: str) -> Shot:
        """The same in the dialect directus."""
        return Shot("POST", "/auth/login", _JSON, json.dumps({"email": user, "password": PASSWORD}))

    def oauth2(self, path: str, **fields: str) -> Shot:
        """A form from the client."""
        return Shot("POST", path, _FORM, urlencode({**self.client, **fields}))

    def _spread(self, number: int) -> list[str]:
        return [self.users[n % len(self.users)] for n in range(number)]

    async def _sessions(self, shots: list[Shot]) -> list[dict[str, Any]]:
        turn = asyncio.Semaphore(_AT_ONCE)
        limit = ClientTimeout(_SIGN_IN_SECONDS)

        async def one(shot: Shot) -> dict[str, Any]:
            async with (
                turn,
                self.http.request(
                    shot.method, self.url + shot.path, headers=shot.headers, data=shot.body, timeout=limit
                ) as response,
            ):
                assert response.status == 200, await response.text()
                found: dict[str, Any] = await response.json()
                return found

        return await asyncio.gather(*map(one, shots))


@dataclass(frozen=True)
class Operation:
    """A name for the table, and how its load is prepared on a stage for `tokens` tokens where it needs its own."""

    name: str
    prepare: Callable[[Stage, int], Awaitable[Load]]

    async def load(self, stage: Stage, connections: int) -> Load:
        """The load for a warm-up and a run."""
        return await self.prepare(stage, 2 * (connections + 1))


async def _client_credentials(stage: Stage, _tokens: int) -> Load:
    shot = stage.oauth2("/oauth/v2/token", grant_type="client_credentials")
    return Load("client_credentials", [shot], '"access_token"')


async def _refresh(stage: Stage, tokens: int) -> Load:
    shot = stage.oauth2("/oauth/v2/token", grant_type="refresh_token")
    chained = Shot(shot.method, shot.path, shot.headers, f"{shot.body}&refresh_token={TOKEN}")
    held = [one["refresh_token"] for one in await stage.oauth2_sessions(tokens)]
    return Load("refresh", [chained], '"access_token"', chain="refresh_token", tokens=held)


async def _refresh_directus(stage: Stage, tokens: int) -> Load:
    shot = Shot("POST", "/auth/refresh", _JSON, json.dumps({"refresh_token": TOKEN, "mode": "json"}))
    held = [one["refresh_token"] for one in await stage.directus_sessions(tokens)]
    return Load("refresh-directus", [shot], '"access_token"', chain="refresh_token", tokens=held)


async def _introspection(stage: Stage, _tokens: int) -> Load:
    sessions = await stage.oauth2_sessions(_ACCESS_TOKENS)
    shots = [stage.oauth2("/oauth/v2/introspect", token=one["access_token"]) for one in sessions]
    return Load("introspection", shots, '"jti"')  # only what is active has more to say


async def _introspection_asked(stage: Stage, _tokens: int) -> Load:
    sessions = await stage.oauth2_sessions(_ACCESS_TOKENS)
    shots = [stage.oauth2("/oauth/v2/introspect", token=one["refresh_token"]) for one in sessions]
    return Load("introspection-asked", shots, '"client_id"')


async def _users_me(stage: Stage, _tokens: int) -> Load:
    sessions = await stage.directus_sessions(_ACCESS_TOKENS)
    return Load("users-me", [_bearing("/users/me", one["access_token"]) for one in sessions], '@example.com"')


async def _userinfo(stage: Stage, _tokens: int) -> Load:
    sessions = await stage.oauth2_sessions(_ACCESS_TOKENS)
    return Load("userinfo", [_bearing("/oauth/v2/userinfo", one["access_token"]) for one in sessions], '"sub"')


async def _sign_in(stage: Stage, _tokens: int) -> Load:
    shots = [stage.sign_in(user) for user in stage.users]
    return Load("sign-in", shots, '"refresh_token"', ramp_seconds=_RAMP_SECONDS)


async def _sign_in_directus(stage: Stage, _tokens: int) -> Load:
    shots = [stage.directus_sign_in(user) for user in stage.users]
    return Load("sign-in-directus", shots, '"refresh_token"', ramp_seconds=_RAMP_SECONDS)


async def _keys(_stage: Stage, _tokens: int) -> Load:
    return Load("keys", [Shot("GET", "/.well-known/jwks.json")], '"kid"')


async def _forward_auth(stage: Stage, _tokens: int) -> Load:
    asked = {"X-Original-Method": "GET", "X-Original-URI": "/orders/17"}
    sessions = await stage.oauth2_sessions(_ACCESS_TOKENS)
    shots = [_bearing(FORWARD_AUTH, one["access_token"], asked) for one in sessions]
    return Load("forward-auth", shots, header="X-Auth-Subject")


def _bearing(path: str, token: str, headers: Mapping[str, str] | None = None) -> Shot:
    return Shot("GET", path, {"Authorization": f"Bearer {token}", **(headers or {})})


OPERATIONS = tuple(
    Operation(name, prepare)
    for name, prepare in (
        ("client_credentials", _client_credentials),
        ("refresh", _refresh),
        ("refresh-directus", _refresh_directus),
        ("introspection", _introspection),
        ("introspection-asked", _introspection_asked),
        ("users-me", _users_me),
        ("userinfo", _userinfo),
        ("forward-auth", _forward_auth),
        ("keys", _keys),
        ("sign-in", _sign_in),
        ("sign-in-directus", _sign_in_directus),
    )
)
"""All of them. `introspection-asked` is that of a refresh token, which the gateway never answers from memory."""
