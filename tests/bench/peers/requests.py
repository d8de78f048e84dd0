"""The requests that both sides of a contest are sent: forms of the same content."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import jwt
from aiohttp import ClientSession

from tests.bench.load import TOKEN, Load, Shot

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True)
class Client:
    """An OAuth client, which proves itself in the body."""

    client_id: str
    secret: str

    def form(self, **fields: str) -> str:
        """A body."""
        return urlencode({**fields, "client_id": self.client_id, "client_secret": self.secret})


def client_credentials(path: str, client: Client) -> Load:
    """A token for the client itself."""
    body = client.form(grant_type="client_credentials")
    return Load("client_credentials", [Shot("POST", path, FORM, body)], mark='"access_token"')


def refreshing(path: str, client: Client) -> Load:
    """A new access token and a new refresh token for the one that came last."""
    # The mark of a token's place must stay as it is.
    body = f"{client.form(grant_type='refresh_token')}&refresh_token={TOKEN}"
    return Load("refresh_token", [Shot("POST", path, FORM, body)], mark='"access_token"', chain="refresh_token")


def introspection(path: str, client: Client, tokens: Sequence[str]) -> Load:
    """What each of these access tokens says, in turn; each is valid."""
    shots = [Shot("POST", path, FORM, client.form(token=token)) for token in tokens]
    return Load("introspection", shots, mark='"active":true')


async def post(http: ClientSession, url: str, body: str) -> dict[str, Any]:
    """The JSON answer to a form, which has to be a success."""
    async with http.post(url, data=body, headers=FORM) as response:
        text = await response.text()
        assert response.status == 200, f"{response.status} {text}"
        parsed: dict[str, Any] = await response.json()
        return parsed


async def own_tokens(http: ClientSession, url: str, client: Client, number: int) -> list[str]:
    """So many access tokens of the client itself."""
    body = client.form(grant_type="client_credentials")
    return [str((await post(http, url, body))["access_token"]) for _ in range(number)]


async def algorithm(http: ClientSession, url: str, client: Client) -> str:
    """What the client's tokens are signed with at the moment."""
    token, *_ = await own_tokens(http, url, client, 1)
    return str(jwt.get_unverified_header(token)["alg"])
