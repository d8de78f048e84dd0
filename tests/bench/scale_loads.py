"""Requests from all over a crowd of users and sessions, none of them from a favourite few."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from random import Random
from typing import Any
from uuid import UUID

from aiohttp import ClientTimeout

from services.token.domain.refresh_tokens import RefreshToken, RefreshTokens
from shared.contracts.token import Dialect
from tests.bench.load import TOKEN, Load, Shot
from tests.bench.operations import Stage
from tests.bench.scale_data import EXPIRING, Size, email, session_id

_MARKS = {
    "client_credentials": '"access_token"',
    "refresh": '"access_token"',
    "refresh-directus": '"access_token"',
    "introspection": '"jti"',
    "introspection-asked": '"client_id"',
    "users-me": '@example.com"',
    "sign-in": '"refresh_token"',
    "sign-in-directus": '"refresh_token"',
}
"""What the answer of each operation must contain."""

OPERATIONS = tuple(_MARKS)
"""`introspection-asked` is that of a refresh token, for which PostgreSQL is asked each time."""

_REFRESH_TOKENS = 20_000
_ACCESS_TOKENS = 1_000
"""Few enough for both sizes to have them: what a gateway remembers of tokens depends on how many are in use."""

_AT_ONCE = 16
_ANSWER_SECONDS = 30.0
_JSON = {"Content-Type": "application/json"}


class Crowd:
    """Users and sessions of one size, and what they ask. The choice among them is the same in every run."""

    def __init__(self, stage: Stage, size: Size, refresh_tokens: RefreshTokens) -> None:
        self._stage = stage
        self._size = size
        self._refresh_tokens = refresh_tokens
        self._random = Random(size.sessions)
        self._introspections: list[Shot] = []
        self._users_me: list[Shot] = []

    async def sign_on(self, counters: Mapping[UUID, int]) -> None:
        """Get the access tokens that later requests need; `counters` says how often a session was refreshed."""
        oauth2 = [self._refresh(text) for text in self._chosen("oauth2", _ACCESS_TOKENS, counters)]
        directus = [self._refresh_directus(text) for text in self._chosen("directus", _ACCESS_TOKENS, counters)]
        for answer in await self._answers(oauth2):
            self._introspections.append(self._stage.oauth2("/oauth/v2/introspect", token=answer["access_token"]))
        for answer in await self._answers(directus):
            bearing = {"Authorization": f"Bearer {answer['data']['access_token']}"}
            self._users_me.append(Shot("GET", "/users/me", bearing))

    def load(self, operation: str, counters: Mapping[UUID, int]) -> Load:
        """Requests for a warm-up and a run, other ones each time. `counters` are those of this moment."""
        stage, members = self._stage, self._emails()
        match operation:
            case "client_credentials":
                shots = [stage.oauth2("/oauth/v2/token", grant_type="client_credentials")]
            case "introspection":
                shots = self._shuffled(self._introspections)
            case "introspection-asked":
                held = self._chosen("oauth2", _REFRESH_TOKENS, counters)
                shots = [stage.oauth2("/oauth/v2/introspect", token=text) for text in held]
            case "users-me":
                shots = self._shuffled(self._users_me)
            case "sign-in":
                shots = [stage.sign_in(one) for one in members]
            case "sign-in-directus":
                shots = [stage.directus_sign_in(one) for one in members]
            case _:
                return self._refreshing(operation, counters)
        return Load(operation, shots, _MARKS[operation])

    def _refreshing(self, operation: str, counters: Mapping[UUID, int]) -> Load:
        dialect: Dialect = "directus" if operation == "refresh-directus" else "oauth2"
        shot = self._refresh_directus(TOKEN) if dialect == "directus" else self._refresh(TOKEN)
        held = self._chosen(dialect, _REFRESH_TOKENS, counters)
        return Load(operation, [shot], _MARKS[operation], chain="refresh_token", tokens=held)

    def _chosen(self, dialect: Dialect, most: int, counters: Mapping[UUID, int]) -> list[str]:
        """The current refresh tokens of sessions of the dialect, in no order."""
        own = range(0 if dialect == "oauth2" else 1, self._size.sessions, 2)
        some = self._random.sample(own, min(len(own), 2 * most))
        lasting = [number for number in some if number % EXPIRING != EXPIRING - 1][:most]
        ids = map(session_id, lasting)
        return [self._refresh_tokens.encode(RefreshToken(one, counters.get(one, 0))) for one in ids]

    def _emails(self) -> list[str]:
        most = min(self._size.users, _ACCESS_TOKENS)
        return [email(user) for user in self._random.sample(range(self._size.users), most)]

    def _shuffled(self, shots: list[Shot]) -> list[Shot]:
        return self._random.sample(shots, len(shots))

    def _refresh(self, token: str) -> Shot:
        # Not by way of the form: what stands for the token must stay as it is.
        shot = self._stage.oauth2("/oauth/v2/token", grant_type="refresh_token")
        return Shot(shot.method, shot.path, shot.headers, f"{shot.body}&refresh_token={token}")

    def _refresh_directus(self, token: str) -> Shot:
        return Shot("POST", "/auth/refresh", _JSON, json.dumps({"refresh_token": token, "mode": "json"}))

    async def _answers(self, shots: Iterable[Shot]) -> list[dict[str, Any]]:
        turn = asyncio.Semaphore(_AT_ONCE)

        async def one(shot: Shot) -> dict[str, Any]:
            async with (
                turn,
                self._stage.http.request(
                    shot.method,
                    self._stage.url + shot.path,
                    headers=shot.headers,
                    data=shot.body,
                    timeout=ClientTimeout(_ANSWER_SECONDS),
                ) as response,
            ):
                assert response.status == 200, await response.text()
                found: dict[str, Any] = await response.json()
                return found

        return await asyncio.gather(*map(one, shots))
