"""Requests to providers: never redirected, and no answer longer than makes sense."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from shared.errors import Error, unavailable

MOST_AT_ONCE = 16
"""Requests to one provider at once."""
_MOST_BYTES = 1 << 20
_NO_ANSWER = frozenset({408, 425, 429})
"""The only 4xx that say nothing of what was asked."""
_RETRY_SECONDS = 5.0
_DNS_SECONDS = 60
_IDLE_SECONDS = 2.0
"""Long enough for what one sign-in asks for; a connection that the provider is about to close would lose the code."""

T = TypeVar("T")


def open_web() -> ClientSession:
    """A session for requests to providers, to be entered. Who asks sets the time-out."""
    # The same name is looked up once for all who ask: a resolver that hangs keeps one thread, not all of them.
    connector = TCPConnector(
        limit=0, limit_per_host=MOST_AT_ONCE, ttl_dns_cache=_DNS_SECONDS, keepalive_timeout=_IDLE_SECONDS
    )
    return ClientSession(connector=connector, cookie_jar=DummyCookieJar(), timeout=ClientTimeout(total=None))


async def ask(
    http: ClientSession,
    url: str,
    *,
    form: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, Any]:
    """GET `url`, or POST a form to it: the status, of 2xx or 4xx, and the JSON value, None where there is none.

    Raises `unavailable` when there is no answer, one of another status, or one of more than 1 MiB.
    """
    sent = {"Accept": "application/json", "User-Agent": "dragoman", **(headers or {})}
    if form is not None:
        sent["Content-Type"] = "application/x-www-form-urlencoded"
    try:
        async with http.request(
            "GET" if form is None else "POST", url, data=form, headers=sent, allow_redirects=False
        ) as answer:
            status, body = answer.status, bytearray()
            if not (200 <= status < 300 or 400 <= status < 500) or status in _NO_ANSWER:
                raise no_answer(url, f"answered {status}")
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > _MOST_BYTES:
                    raise no_answer(url, "answers more than makes sense")
    except (ClientError, OSError, ValueError) as error:
        raise no_answer(url, f"did not answer: {type(error).__name__}") from None
    try:
        return status, orjson.loads(body)
    except orjson.JSONDecodeError:
        return status, None


async def document(http: ClientSession, url: str, *, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The JSON object at `url`. Raises `unavailable` for anything else."""
    status, found = await ask(http, url, headers=headers)
    if status != 200 or not isinstance(found, dict):
        raise no_answer(url, f"answered {status} without a JSON object" if status == 200 else f"answered {status}")
    return found


def no_answer(url: str, what: str) -> Error:
    """`unavailable`, in the provider's name."""
    parts = urlsplit(url)
    return unavailable(f"{parts.scheme}://{parts.netloc}{parts.path} {what}", retry_after=_RETRY_SECONDS)


class Kept(Generic[T]):
    """What was asked for last, kept until it is too old for whoever asks."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """`monotonic` tells seconds since whenever."""
        self._monotonic = monotonic
        self._asked_at = float("-inf")
        self._value: T | None = None

    async def get(self, ask: Callable[[], Awaitable[T]], most_seconds: float) -> T:
        """What is kept, where that is younger, else what `ask` answers. Raises what `ask` raises."""
        if self._value is not None and self._monotonic() - self._asked_at < most_seconds:
            return self._value
        asked_at = self._monotonic()
        value = await ask()
        self._value, self._asked_at = value, asked_at
        return value
