"""The four dialects as four doors to one house: the same deed in each one's words."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.dialects.running import Answer, Platform

CLIENT = {"client_id": "abc123", "client_secret": "456789"}


@dataclass(frozen=True)
class Door:
    """How one dialect signs in and refreshes, and where its tokens stand in an answer."""

    name: str
    sign_in_path: str
    sign_in_body: Callable[[str, str], dict[str, Any]]
    refresh_path: str
    refresh_body: Callable[[str, str], dict[str, Any]]
    access_at: tuple[str, ...]
    refresh_at: tuple[str, ...]

    async def sign_in(self, platform: Platform, identifier: str, password: str) -> Answer:
        """Try to sign in."""
        return await platform.send("POST", self.sign_in_path, json=self.sign_in_body(identifier, password))

    async def refresh(self, platform: Platform, identifier: str, token: str) -> Answer:
        """Try to refresh; only one dialect asks whose token it is."""
        return await platform.send("POST", self.refresh_path, json=self.refresh_body(identifier, token))

    def access(self, answer: Answer) -> str:
        """The access token of an answer that has one."""
        return _at(answer, self.access_at)

    def refresh_token(self, answer: Answer) -> str:
        """The refresh token of an answer that has one."""
        return _at(answer, self.refresh_at)


def _at(answer: Answer, path: tuple[str, ...]) -> str:
    value: Any = answer.json()
    for name in path:
        value = value[name]
    assert isinstance(value, str)
    return value


OAUTH2 = Door(
    "oauth2",
    "/oauth/v2/token",
    lambda identifier, password: {**CLIENT, "grant_type": "password", "username": identifier, "password": password},
    "/oauth/v2/token",
    lambda _identifier, token: {**CLIENT, "grant_type": "refresh_token", "refresh_token": token},
    ("access_token",),
    ("refresh_token",),
)
BACKOFFICE = Door(
    "backoffice",
    "/api/v2/signin",
    lambda identifier, password: {"email": identifier, "password": password},
    "/api/v2/refresh",
    lambda _identifier, token: {"refreshToken": token},
    ("accessToken", "token"),
    ("refreshToken", "token"),
)
ENTERPRISE = Door(
    "enterprise",
    "/v1/login",
    lambda identifier, password: {"username": identifier, "password": password},
    "/v1/token-refresh",
    lambda identifier, token: {"username": identifier, "refresh_token": token},
    ("access_token",),
    ("refresh_token",),
)
DIRECTUS = Door(
    "directus",
    "/auth/login",
    lambda identifier, password: {"email": identifier, "password": password},
    "/auth/refresh",
    lambda _identifier, token: {"refresh_token": token},
    ("data", "access_token"),
    ("data", "refresh_token"),
)
DOORS = (OAUTH2, BACKOFFICE, ENTERPRISE, DIRECTUS)


async def is_let_in(platform: Platform, access_token: str) -> bool:
    """Whether an access token is accepted now."""
    answer = await platform.send("GET", "/oauth/v2/userinfo", headers={"Authorization": f"Bearer {access_token}"})
    assert answer.status in {200, 401}, answer.text
    return answer.status == 200


def gives_tokens(answer: Answer) -> bool:
    """Whether there is anything in an answer, or its cookies, that lets somebody in."""
    text = f"{answer.text} {answer.headers.getall('Set-Cookie', [])}"
    return any(word in text for word in ("access_token", "accessToken", "refresh_token", "refreshToken", "id_token"))
