"""A client of the token API who measures every answer, and clients who go on asking."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import ClientSession

from tests.support.leaks import USED_SECRETS
from tests.support.platform import Platform
from tests.support.waiting import eventually

CLIENT = {"client_id": "abc123", "client_secret": "456789"}
USER = {"username": "someone@example.com", "password": "def56789"}
RECOVERED_SECONDS = 5.0
_PACE_SECONDS = 0.02

Ask = Callable[[], Awaitable["Answer"]]
"""A request to make, or to make again and again."""


@dataclass(frozen=True)
class Answer:
    """What came back, and after how many seconds."""

    status: int
    headers: Mapping[str, str]
    text: str
    seconds: float

    @property
    def body(self) -> dict[str, Any]:
        """The JSON object."""
        parsed: dict[str, Any] = json.loads(self.text)
        return parsed


def expect_away(answer: Answer, within: float = 1.0) -> None:
    """The answer of a service that is gone: soon, in the dialect's words, with the time to come back."""
    assert answer.status == 503, answer
    assert answer.body["error"] == "temporarily_unavailable"
    assert answer.body["error_description"]
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.seconds < within, answer


async def recovered(asks: Sequence[Ask]) -> None:
    """Return once each of these requests succeeds, which it has to before long; until then they may be 503."""

    async def all_succeed() -> bool | None:
        answers = [await ask() for ask in asks]
        assert all(answer.status in {200, 503} for answer in answers), answers
        return True if all(answer.status == 200 for answer in answers) else None

    await eventually(all_succeed, RECOVERED_SECONDS, "every request succeeds again")


class TokenApi:
    """The token API of one platform, wherever its gateway listens at the moment."""

    def __init__(self, platform: Platform, http: ClientSession) -> None:
        self._platform = platform
        self._http = http
        self._bearer = ""

    async def grant(self, grant_type: str, **fields: str) -> Answer:
        """POST /oauth/v2/token as the demo client, in JSON."""
        return await self.request("POST", "/oauth/v2/token", {"grant_type": grant_type, **CLIENT, **fields})

    async def client_credentials(self) -> Answer:
        """A token for the client itself."""
        return await self.grant("client_credentials")

    async def password(self) -> Answer:
        """A sign-in of a demo user."""
        return await self.grant("password", **USER)

    async def sign_in(self) -> "SignedIn":
        """A demo user's session, which has to succeed."""
        answer = await self.password()
        assert answer.status == 200, answer
        return SignedIn(self, answer.body["refresh_token"])

    async def keys(self) -> Answer:
        """The public keys."""
        return await self.request("GET", "/.well-known/jwks.json")

    async def send_code(self, **address: str) -> Answer:
        """POST /otp/send with the client's token; to a demo user unless `email` or `phone` is given."""
        if not self._bearer:
            self._bearer = (await self.client_credentials()).body["access_token"]
        headers = {"Authorization": f"Bearer {self._bearer}"}
        return await self.request("POST", "/otp/send", address or {"email": USER["username"]}, headers)

    async def code_for(self, address: str) -> str:
        """The code in the newest message to `address`, awaited."""
        query = {"to": address, "wait": "10"}
        async with self._http.get(f"{self._platform.inbox['http']}/messages.json", params=query) as response:
            messages = await response.json()
        assert messages, f"nothing was sent to {address}"
        found = re.search(r"\b\d{6}\b", messages[0]["text"])
        assert found is not None
        return found[0]

    async def request(
        self, method: str, path: str, body: dict[str, str] | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Any request; raises what aiohttp raises when no answer comes."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with self._http.request(method, self._platform.url + path, json=body, headers=headers) as response:
            text = await response.text()
        answer = Answer(response.status, response.headers, text, loop.time() - started)
        USED_SECRETS.note_fields(body)
        if answer.status == 200:
            USED_SECRETS.note_fields(answer.body)
        return answer


@dataclass
class SignedIn:
    """A user who keeps the refresh token that was given last."""

    api: TokenApi
    token: str

    async def refresh(self) -> Answer:
        """Present the token; keep the new one when there is one."""
        answer = await self.api.grant("refresh_token", refresh_token=self.token)
        if answer.status == 200:
            self.token = answer.body["refresh_token"]
        return answer


@dataclass
class Load:
    """Asks the same again and again while inside, and keeps every answer."""

    ask: Ask
    answers: list[Answer] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        """Begin."""
        self._over = asyncio.Event()
        self._asked_at = asyncio.get_running_loop().time()
        self._task = asyncio.create_task(self._go_on())
        return self

    async def __aexit__(self, *_: object) -> None:
        """End after the answer that is awaited; raises what a request has raised."""
        self._over.set()
        await self._task

    async def more(self, number: int, seconds: float = 20.0) -> None:
        """Return after so many further answers."""
        goal = len(self.answers) + number

        async def reached() -> bool | None:
            return True if len(self.answers) >= goal or self._task.done() else None

        await eventually(reached, seconds, f"{number} more answers")

    async def stuck(self, seconds: float = 0.2) -> None:
        """Return once an answer has been awaited for so long."""
        loop = asyncio.get_running_loop()

        async def is_stuck() -> bool | None:
            return True if loop.time() - self._asked_at > seconds else None

        await eventually(is_stuck, 10.0, "a request waits")

    @property
    def statuses(self) -> set[int]:
        """Every status there was."""
        return {answer.status for answer in self.answers}

    async def _go_on(self) -> None:
        while not self._over.is_set():
            self._asked_at = asyncio.get_running_loop().time()
            self.answers.append(await self.ask())
            await asyncio.sleep(_PACE_SECONDS)  # the load is meant to be light
