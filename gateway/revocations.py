"""What was revoked, kept in memory: a snapshot from `token`, then the stream.

The gateway refuses by it, and hands it on to the verifiers of other services. When the stream falls silent no heartbeat
goes out either: what cannot be known here must not be believed there.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

from dragoman_verifier import Claims, RevocationsStale, TokenRevoked
from dragoman_verifier.health import FeedState
from dragoman_verifier.revocations import RevokedSet, read_revocation

from shared.bus.bus import Bus
from shared.clock import Clock
from shared.contracts.token import GetRevocations, Revocation
from shared.errors import Error
from shared.revocations import Cursor, RevocationStream
from shared.telemetry import Telemetry

Entry = tuple[str, dict[str, Any]]
"""A cursor and the revocation at it, as the feed sends them."""

NO_CURSOR = "0-0"
"""What stands for a cursor where nothing can be followed."""

_HISTORY = 10_000
_MOST_WAITING = 1_000
_POLL_SECONDS = 1.0
_AGAIN_SECONDS = 0.2
_ALIVE_SECONDS = 2.0
_GRACE_SECONDS = 300.0
_FIRST_SECONDS = 0.5


class RevocationFeed:
    """Follows the stream. Without Redis it asks `token` every second, and has nothing that others could follow."""

    def __init__(
        self,
        bus: Bus,
        stream: RevocationStream | None,
        clock: Clock,
        telemetry: Telemetry,
        *,
        max_staleness: float,
        refuse_when_stale: bool,
    ) -> None:
        """After `max_staleness` seconds of silence tokens are refused, or accepted unless known to be revoked."""
        self._bus = bus
        self._stream = stream
        self._clock = clock
        self._log = telemetry.log
        self._max_staleness = max_staleness
        self._refuse_when_stale = refuse_when_stale
        self._heard_at: float | None = None
        self._first = asyncio.Event()
        self._history: deque[tuple[Cursor, dict[str, Any]]] = deque(maxlen=_HISTORY)
        self._live: dict[tuple[str, str], dict[str, Any]] = {}
        self._followers: set[asyncio.Queue[Entry | None]] = set()
        self._started_at: Cursor | None = None
        self._read_to: Cursor | None = None
        self._numbers = count(1)
        self._client_news: dict[str, int] = {}
        self.revoked = RevokedSet(grace=_GRACE_SECONDS)
        self.problem: str | None = "not begun"
        self.closed = False

    @property
    def cursor(self) -> str:
        """How far the stream was read."""
        return NO_CURSOR if self._read_to is None else str(self._read_to)

    @property
    def age(self) -> float | None:
        """Seconds since the source was last heard, None before the first snapshot."""
        return None if self._heard_at is None else asyncio.get_running_loop().time() - self._heard_at

    @property
    def state(self) -> FeedState:
        """Live while the silence is shorter than the setting allows."""
        age = self.age
        return "live" if age is not None and age <= self._max_staleness else "stale"

    @property
    def alive(self) -> bool:
        """Whether the source was heard just now, so that a heartbeat is the truth."""
        age = self.age
        return age is not None and age <= _ALIVE_SECONDS

    @property
    def prompt(self) -> bool:
        """Whether news comes as soon as it is told: the stream is heard. Polling may be a second behind."""
        return self._stream is not None and self.alive

    async def check(self, claims: Claims) -> None:
        """Refuse a token that was revoked, or that cannot be judged where the operator chose so.

        A gateway that has just started waits a moment for its first snapshot.
        """
        if self._heard_at is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_FIRST_SECONDS):
                    await self._first.wait()
        if self.revoked.has(claims):
            raise TokenRevoked("the token was revoked")
        if self.state == "stale" and self._refuse_when_stale:
            raise RevocationsStale(f"revocations are not known: {self.problem}", retry_after=1)

    def is_good(self, claims: Claims) -> bool:
        """Whether a token that was verified earlier has neither expired nor been revoked since."""
        return claims.expires_at > self._clock.now() and not self.revoked.has(claims)

    def news_of_client(self, client_id: str) -> int:
        """A number that is another one after each time that a client's tokens, or its secrets with them, were ended.

        Not a time: `issued_before` has a grain of a second, in which a client may prove itself and be withdrawn.
        """
        return self._client_news.get(client_id, 0)

    def learn(self, revocations: Iterable[Revocation]) -> None:
        """Refuse at once what this gateway itself had revoked; the stream tells it to the followers."""
        for revocation in revocations:
            self._apply(_wire(revocation))

    def snapshot(self) -> dict[str, Any]:
        """All that is revoked, and the cursor from which to go on."""
        now = self._clock.now().timestamp()
        live = [entry for entry in self._live.values() if entry["expires_at"] > now]
        return {"cursor": self.cursor, "revocations": live}

    @contextmanager
    def follow(self) -> Iterator["asyncio.Queue[Entry | None]"]:
        """A queue of what happens while inside; None in it means that the follower must begin again."""
        queue: asyncio.Queue[Entry | None] = asyncio.Queue(_MOST_WAITING + 1)
        self._followers.add(queue)
        try:
            yield queue
        finally:
            self._followers.discard(queue)

    def since(self, cursor: str) -> list[Entry] | None:
        """What came behind `cursor`, None when that cannot be told (any more)."""
        after, oldest = Cursor.parse(cursor), self._started_at
        if len(self._history) == _HISTORY:
            oldest = self._history[0][0]
        if after is None or oldest is None or after.filling != oldest.filling or after.order < oldest.order:
            return None
        return [(str(place), entry) for place, entry in self._history if place.order > after.order]

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                if self._stream is None:
                    await self._take_snapshot()
                    await asyncio.sleep(_POLL_SECONDS)
                elif self._read_to is None:
                    await self._begin(self._stream)
                else:
                    await self._read(self._stream, self._read_to)
            except Error as error:
                if self.problem is None:
                    self._log.warning("revocations are not heard", reason=error.message)
                self.problem = error.message
                await asyncio.sleep(_AGAIN_SECONDS)
            except Exception as error:  # noqa: BLE001 - logged; whatever it is, the stream must be followed again
                self._log.exception("following revocations failed")
                self.problem = type(error).__name__
                await asyncio.sleep(_POLL_SECONDS)

    def close(self) -> None:
        """Let every follower go."""
        self.closed = True
        for queue in self._followers:
            _put(queue, None)

    async def _begin(self, stream: RevocationStream) -> None:
        # The end first: what is announced while the snapshot is made comes again, which changes nothing.
        end = await stream.end()
        await self._take_snapshot()
        self._read_to = self._started_at = end
        self._history.clear()
        for queue in self._followers:
            _put(queue, None)  # what they missed too, the snapshot has
        self._followers.clear()

    async def _take_snapshot(self) -> None:
        for revocation in (await self._bus.call(GetRevocations())).revocations:
            self._apply(_wire(revocation))
        self._heard()

    async def _read(self, stream: RevocationStream, after: Cursor) -> None:
        found = await stream.read(after)
        if found is None:
            self._log.info("revocations are read anew", reason="the stream was filled again")
            self._read_to = None
            return
        for place, revocation in found:
            entry = _wire(revocation)
            self._apply(entry)
            self._read_to = place
            self._history.append((place, entry))
            for queue in list(self._followers):
                if queue.qsize() >= _MOST_WAITING:
                    self._followers.discard(queue)
                    _put(queue, None)  # too slow: it begins again with a snapshot
                else:
                    queue.put_nowait((str(place), entry))
        self._heard()

    def _apply(self, entry: dict[str, Any]) -> None:
        now = self._clock.now().timestamp()
        read = read_revocation(entry)
        if read is not None:
            self.revoked.add(read, now)
        if entry["kind"] == "client":
            self._client_news[entry["value"]] = next(self._numbers)
        self._remember(entry)
        while self._live and (oldest := next(iter(self._live.values())))["expires_at"] <= now:
            del self._live[oldest["kind"], oldest["value"]]
            if oldest["kind"] == "client":
                self._client_news.pop(oldest["value"], None)

    def _remember(self, entry: dict[str, Any]) -> None:
        named = entry["kind"], entry["value"]
        known = self._live.pop(named, entry)  # and put it at the end, where those are that expire last
        if known["issued_before"] is not None and entry["issued_before"] is not None:
            entry = entry | {"issued_before": max(known["issued_before"], entry["issued_before"])}
        self._live[named] = entry | {"expires_at": max(known["expires_at"], entry["expires_at"])}

    def _heard(self) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        self._first.set()
        if self.problem is not None:
            self._log.info("revocations are heard", revoked=len(self.revoked))
        self.problem = None


def _wire(revocation: Revocation) -> dict[str, Any]:
    before = revocation.issued_before
    return {
        "kind": revocation.kind,
        "value": revocation.value,
        "issued_before": None if before is None else before.timestamp(),
        "expires_at": revocation.expires_at.timestamp(),
    }


def _put(queue: "asyncio.Queue[Entry | None]", item: Entry | None) -> None:
    if not queue.full():
        queue.put_nowait(item)
