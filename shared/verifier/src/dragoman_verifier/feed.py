"""Follows the issuer's revocation feed: a snapshot, then what happens from there on (README, "The feed")."""

import asyncio
import json
import logging
from base64 import b64encode
from collections.abc import Callable
from random import uniform
from urllib.parse import quote_plus

import aiohttp

from dragoman_verifier.claims import Claims
from dragoman_verifier.discovery import Discovery
from dragoman_verifier.errors import RevocationsStale, TokenRevoked
from dragoman_verifier.health import FeedState
from dragoman_verifier.revocations import Revocations, RevokedSet, read_revocation
from dragoman_verifier.sse import Event, Parser
from dragoman_verifier.web import Unusable, check_status, describe, fetch

SCOPE = "revocations:read"
_SNAPSHOT_BYTES = 64 << 20
_SNAPSHOT_TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=5, sock_read=5)
_LONGEST_SILENCE = 15.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 2.0
_RENEW_BEFORE = 30.0

log = logging.getLogger("dragoman_verifier")


class Feed:
    """Keeps the set of what was revoked, and knows how long ago the feed was last heard."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        discovery: Discovery,
        settings: Revocations,
        url: str,
        *,
        leeway: float,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._http = http
        self._discovery = discovery
        self._settings = settings
        self._url = url
        self._clock = clock
        self._monotonic = monotonic
        # A token is accepted until `leeway` after its expiry, so its revocation must live as long.
        self.revoked = RevokedSet(grace=leeway)
        self.problem: str | None = None
        self._heard_at: float | None = None
        self._first = asyncio.Event()
        self._cursor: str | None = None
        self._failures = 0
        self._bearer: tuple[str, float] | None = None
        self._start_by = monotonic() + settings.startup_timeout
        self._task = asyncio.create_task(self._follow())

    @property
    def age(self) -> float | None:
        """Seconds since something came from the feed, None before the first snapshot."""
        return None if self._heard_at is None else self._monotonic() - self._heard_at

    @property
    def state(self) -> FeedState:
        """Live while the silence is shorter than the owner allows."""
        age = self.age
        return "live" if age is not None and age <= self._settings.max_staleness else "stale"

    async def check(self, claims: Claims) -> None:
        """Refuse a token that was revoked, or cannot be judged.

        Raises TokenRevoked; RevocationsStale when nothing was heard for too long and the owner chose to refuse then.
        """
        if not self._first.is_set():
            await self._wait_for_the_first()
        if self.revoked.has(claims):
            raise TokenRevoked("the token was revoked")
        if self._settings.when_stale == "refuse" and self.state == "stale":
            raise RevocationsStale(f"the revocation feed is silent: {self.problem or 'no heartbeat'}", retry_after=5)

    async def _wait_for_the_first(self) -> None:
        try:
            async with asyncio.timeout(max(0.0, self._start_by - self._monotonic())):
                await self._first.wait()
        except TimeoutError:
            pass  # what the owner chose for a silent feed holds from the start

    async def close(self) -> None:
        """Stop following."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            try:
                if self._cursor is None:
                    self._cursor = await self._take_snapshot()
                await self._tail(self._cursor)
                problem = "the feed ended"
            except Exception as raised:  # noqa: BLE001 - whatever it is, the feed must be followed again
                problem = describe(raised)
                if isinstance(raised, aiohttp.ClientResponseError) and raised.status in {401, 403}:
                    self._bearer = None
            if self.problem is None:
                log.warning("lost the revocation feed: %s", problem)
            self.problem = problem
            self._failures += 1
            # Jitter, so that all verifiers do not come back to a restarted gateway in one moment.
            await asyncio.sleep(uniform(0, min(_FIRST_PAUSE * 2 ** min(self._failures, 9), _LONGEST_PAUSE)))  # noqa: S311

    def _heard(self) -> None:
        self._heard_at = self._monotonic()
        self._failures = 0
        if self.problem is not None:
            log.info("the revocation feed is back")
            self.problem = None

    async def _take_snapshot(self) -> str:
        headers = {"Accept": "application/json", "Authorization": await self._authorization()}
        snapshot, _ = await fetch(
            self._http, "GET", self._url, headers=headers, timeout=_SNAPSHOT_TIMEOUT, most_bytes=_SNAPSHOT_BYTES
        )
        cursor, entries = snapshot.get("cursor"), snapshot.get("revocations")
        if not isinstance(cursor, str) or not isinstance(entries, list):
            raise Unusable("the snapshot of the revocation feed is malformed")
        self.revoked.replace(filter(None, map(read_revocation, entries)), self._clock())
        self._heard_at = self._monotonic()
        self._first.set()
        return cursor

    async def _tail(self, cursor: str) -> None:
        silence = min(_LONGEST_SILENCE, self._settings.max_staleness / 2)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=silence)
        headers = {
            "Accept": "text/event-stream",
            "Authorization": await self._authorization(),
            "Last-Event-ID": cursor,
        }
        parser = Parser()
        async with self._http.get(self._url, headers=headers, timeout=timeout, allow_redirects=False) as answer:
            check_status(answer)
            if answer.content_type != "text/event-stream":
                raise Unusable(f"the revocation feed answers {answer.content_type}")
            async for chunk in answer.content.iter_any():
                for event in parser.feed(chunk):
                    self._take(event)
                    if self._cursor is None:
                        return
                self._heard()

    def _take(self, event: Event) -> None:
        """Apply an event; what cannot be read makes a new snapshot necessary, since it may have been a revocation."""
        if event.name == "reset":
            self._cursor = None
            return
        if event.name == "revocation":
            try:
                entry = read_revocation(json.loads(event.data))
            except (ValueError, RecursionError):
                self._cursor = None
                raise Unusable("an event of the revocation feed is malformed") from None
            if entry is not None:
                self.revoked.add(entry, self._clock())
        elif event.name == "heartbeat":
            self.revoked.prune(self._clock())
        if event.id:
            self._cursor = event.id

    async def _authorization(self) -> str:
        """The header for the feed; the token in it is used until shortly before it expires (RFC 6749 §4.4)."""
        if self._bearer is None or self._monotonic() >= self._bearer[1]:
            self._bearer = await self._fetch_bearer()
        return f"Bearer {self._bearer[0]}"

    async def _fetch_bearer(self) -> tuple[str, float]:
        settings = self._settings
        url = settings.token_url or await self._discovery.endpoint("token_endpoint")
        # RFC 6749 §2.3.1: both parts are form-encoded before they are joined.
        pair = f"{quote_plus(settings.client_id)}:{quote_plus(settings.client_secret)}"
        headers = {"Authorization": f"Basic {b64encode(pair.encode()).decode()}", "Accept": "application/json"}
        form = {"grant_type": "client_credentials", "scope": SCOPE}
        answer, _ = await fetch(self._http, "POST", url, headers=headers, data=form)
        token, seconds = answer.get("access_token"), answer.get("expires_in", 0)
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise Unusable("the token endpoint gave no token")
        lasts = float(seconds) if isinstance(seconds, int | float) else 0.0
        return token, self._monotonic() + lasts - _RENEW_BEFORE
