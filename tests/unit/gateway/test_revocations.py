"""What the gateway knows of revocations, and what it does when it cannot know."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, cast

import pytest
from dragoman_verifier import Claims, RevocationsStale, TokenRevoked

from gateway import revocations as module
from gateway.revocations import NO_CURSOR, RevocationFeed
from shared.bus.bus import Bus
from shared.contracts.token import GetRevocations, Revocation, RevocationKind, RevocationList
from shared.errors import unavailable
from shared.process import background
from shared.revocations import Cursor, RevocationStream
from shared.telemetry import Telemetry
from shared.testing import FakeClock
from tests.support.waiting import eventually

SECONDS = 5.0


class Source:
    """`token` and the stream in one, with voices that can fail."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.known: list[Revocation] = []
        self.entries: list[tuple[Cursor, Revocation]] = []
        self.filling = "first"
        self.failure: Exception | None = None
        self.asked = 0
        self.door = asyncio.Event()
        self.door.set()

    async def call(self, call: Any) -> RevocationList:
        """The snapshot, once the door is open."""
        assert isinstance(call, GetRevocations)
        self.asked += 1
        await self.door.wait()
        return RevocationList(revocations=self.known)

    async def end(self) -> Cursor:
        """The place behind the newest entry."""
        return self.entries[-1][0] if self.entries else Cursor(self.filling, "0-0")

    async def read(self, after: Cursor) -> list[tuple[Cursor, Revocation]] | None:
        """What came behind that place, None in another filling."""
        await asyncio.sleep(0.001)
        if self.failure is not None:
            raise self.failure
        if after.filling != self.filling:
            return None
        return [(place, entry) for place, entry in self.entries if place.order > after.order]

    def revoke(self, kind: RevocationKind, value: str, issued_before: datetime | None = None) -> str:
        """Announce one; its cursor."""
        until = self.clock.now() + timedelta(hours=1)
        entry = Revocation(kind=kind, value=value, issued_before=issued_before, expires_at=until)
        self.entries.append((Cursor(self.filling, f"{len(self.entries) + 1}-0"), entry))
        return str(self.entries[-1][0])


def claims(clock: FakeClock, **changed: Any) -> Claims:
    """A user's token, issued now."""
    now = clock.now()
    said: dict[str, Any] = {
        "issuer": "https://id.example.com",
        "subject": "user-1",
        "audience": ("api",),
        "client_id": "client-1",
        "scopes": frozenset(),
        "token_id": "token-1",
        "session_id": "session-1",
        "issued_at": now,
        "expires_at": now + timedelta(minutes=10),
        "key_id": "key-1",
        "raw": MappingProxyType({"iat": int(now.timestamp())}),
    }
    return Claims(**said | changed)


@pytest.fixture
def clock() -> FakeClock:
    """Time that stands."""
    return FakeClock()


@pytest.fixture
async def source(clock: FakeClock) -> Source:
    """Everybody is well, and nothing was revoked."""
    return Source(clock)


def make(source: Source, *, polls: bool = False, refuse: bool = True, staleness: float = 60.0) -> RevocationFeed:
    """A feed that does not run yet."""
    stream = None if polls else cast("RevocationStream", source)
    return RevocationFeed(
        cast("Bus", source),
        stream,
        source.clock,
        Telemetry("gateway"),
        max_staleness=staleness,
        refuse_when_stale=refuse,
    )


@asynccontextmanager
async def running(source: Source, **settings: Any) -> AsyncIterator[RevocationFeed]:
    """A feed that has its first snapshot."""
    feed = make(source, **settings)
    async with background(asyncio.create_task(feed.run())):
        await arrived(lambda: feed.age is not None)
        yield feed


async def arrived(condition: Any) -> None:
    """Return once the condition holds."""

    async def look() -> bool | None:
        return condition() or None

    await eventually(look, SECONDS, "the feed has it")


@pytest.mark.parametrize(("kind", "value"), [("token", "token-1"), ("session", "session-1"), ("key", "key-1")])
async def test_from_the_snapshot_and_from_the_stream(source: Source, kind: RevocationKind, value: str) -> None:
    """What was revoked before the start or since is refused, and nothing else."""
    other = claims(source.clock, token_id="token-2", session_id="session-2", key_id="key-2")
    async with running(source) as feed:
        await feed.check(claims(source.clock))
        cursor = source.revoke(kind, value)
        await arrived(lambda: feed.cursor == cursor)
        with pytest.raises(TokenRevoked):
            await feed.check(claims(source.clock))
        await feed.check(other)
    source.known = [entry for _, entry in source.entries]
    async with running(source) as feed:
        with pytest.raises(TokenRevoked):
            await feed.check(claims(source.clock))
        await feed.check(other)


async def test_the_first_request_waits_for_the_first_snapshot(source: Source) -> None:
    """A request that comes before the first snapshot is judged by it."""
    source.door.clear()
    feed = make(source)
    async with background(asyncio.create_task(feed.run())):
        checking = asyncio.create_task(feed.check(claims(source.clock)))
        await arrived(lambda: source.asked)
        assert not checking.done()
        source.door.set()
        await checking


async def test_without_a_first_snapshot(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any news ever, a token is refused or accepted soon, as the operator chose."""
    monkeypatch.setattr(module, "_FIRST_SECONDS", 0.01)
    with pytest.raises(RevocationsStale):
        await make(source).check(claims(source.clock))
    await make(source, refuse=False).check(claims(source.clock))


@pytest.mark.parametrize("refuse", [True, False])
async def test_silence(source: Source, *, refuse: bool) -> None:
    """When the stream is silent for too long, unknown tokens are refused or accepted as chosen, known ones refused."""
    async with running(source, refuse=refuse, staleness=0.05) as feed:
        cursor = source.revoke("session", "session-1")
        await arrived(lambda: feed.cursor == cursor)
        source.failure = unavailable("redis is unavailable")
        await arrived(lambda: feed.state == "stale")
        with pytest.raises(TokenRevoked):
            await feed.check(claims(source.clock))
        unknown = claims(source.clock, session_id="session-2")
        if refuse:
            with pytest.raises(RevocationsStale):
                await feed.check(unknown)
        else:
            await feed.check(unknown)
        source.failure = None
        await arrived(lambda: feed.state == "live" and feed.problem is None)
        await feed.check(unknown)


async def test_a_failure_nobody_thought_of(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong, the stream is followed again."""
    monkeypatch.setattr(module, "_POLL_SECONDS", 0.01)
    async with running(source) as feed:
        source.failure = ValueError("not a revocation")
        await arrived(lambda: feed.problem == "ValueError")
        source.failure = None
        await arrived(lambda: feed.problem is None)


async def test_polling(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a stream `token` is asked again and again, and nothing is handed on."""
    monkeypatch.setattr(module, "_POLL_SECONDS", 0.01)
    async with running(source, polls=True) as feed:
        source.revoke("session", "session-1")
        source.known = [entry for _, entry in source.entries]
        await arrived(lambda: len(feed.revoked))
        with pytest.raises(TokenRevoked):
            await feed.check(claims(source.clock))
        assert feed.cursor == NO_CURSOR
        assert feed.since(NO_CURSOR) is None
        assert feed.alive
        assert not feed.prompt


async def test_prompt_news(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """News is as good as there while the stream is heard, and not in its silence."""
    monkeypatch.setattr(module, "_ALIVE_SECONDS", 0.05)
    async with running(source) as feed:
        assert feed.prompt
        source.failure = unavailable("redis is unavailable")
        await arrived(lambda: not feed.prompt)
        source.failure = None
        await arrived(lambda: feed.prompt)


async def test_news_of_a_client(source: Source) -> None:
    """Each time that a client is told of, it is noticed, even twice in a second and for the same bound."""
    async with running(source) as feed:
        numbers = [feed.news_of_client("client-1")]
        for _ in range(2):
            cursor = source.revoke("client", "client-1", source.clock.now())
            await arrived(lambda cursor=cursor: feed.cursor == cursor)
            numbers.append(feed.news_of_client("client-1"))
        assert len(set(numbers)) == 3
        cursor = source.revoke("session", "client-1")
        await arrived(lambda: feed.cursor == cursor)
        assert feed.news_of_client("client-1") == numbers[-1]
        assert feed.news_of_client("client-2") == numbers[0]


async def test_news_of_clients_is_not_kept_for_ever(source: Source) -> None:
    """What was told of a client is forgotten with the revocation."""
    async with running(source) as feed:
        cursor = source.revoke("client", "client-1", source.clock.now())
        await arrived(lambda: feed.cursor == cursor)
        source.clock.advance(3600)
        cursor = source.revoke("session", "session-1")
        await arrived(lambda: feed.cursor == cursor)
        assert feed._client_news == {}


async def test_what_was_revoked_here(source: Source) -> None:
    """What this gateway has had revoked is refused before the stream tells it."""
    async with running(source) as feed:
        await feed.check(claims(source.clock))
        until = source.clock.now() + timedelta(hours=1)
        feed.learn([Revocation(kind="session", value="session-1", expires_at=until)])
        with pytest.raises(TokenRevoked):
            await feed.check(claims(source.clock))
        assert feed.cursor == "0-0-first"
        assert [entry["value"] for entry in feed.snapshot()["revocations"]] == ["session-1"]


async def test_the_wider_bound_counts(source: Source) -> None:
    """Of two cut-offs for a user the snapshot tells the later one, whichever came first."""
    now = source.clock.now()
    async with running(source) as feed:
        for seconds in (10, 5):
            cursor = source.revoke("user", "user-1", now + timedelta(seconds=seconds))
        await arrived(lambda: feed.cursor == cursor)
        [entry] = feed.snapshot()["revocations"]
        assert entry["issued_before"] == now.timestamp() + 10


async def test_what_has_expired_is_dropped(source: Source) -> None:
    """The snapshot has nothing in it that no longer matters."""
    async with running(source) as feed:
        source.revoke("session", "session-1")
        source.clock.advance(1800)
        cursor = source.revoke("session", "session-2")
        await arrived(lambda: feed.cursor == cursor)
        source.clock.advance(1800)
        assert [entry["value"] for entry in feed.snapshot()["revocations"]] == ["session-2"]


async def test_a_slow_follower_begins_again(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """A follower who does not read is cut off with a reset, and costs no more memory; the others go on."""
    monkeypatch.setattr(module, "_MOST_WAITING", 3)
    async with running(source) as feed:
        with feed.follow() as slow, feed.follow() as quick:
            seen = []
            for number in range(6):
                source.revoke("session", f"session-{number}")
                seen.append(await quick.get())
            waiting = [slow.get_nowait() for _ in range(slow.qsize())]
        assert [entry[1]["value"] for entry in seen if entry] == [f"session-{number}" for number in range(6)]
        assert waiting[:3] == seen[:3]
        assert waiting[3:] == [None]


async def test_resuming(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came behind a cursor is told exactly, as far back as is remembered, and nothing for what is no cursor."""
    monkeypatch.setattr(module, "_HISTORY", 3)
    async with running(source) as feed:
        for number in range(2):
            cursor = source.revoke("session", f"session-{number}")
        await arrived(lambda: feed.cursor == cursor)
        missed = feed.since("1-0-first")
        assert missed is not None
        assert [entry["value"] for _, entry in missed] == ["session-1"]
        assert feed.since("2-0-first") == []
        for wrong in ("", "-", "1", "x-0", "1-x", "-1-0", "²-0", "1-0", "1-0-", "1-0-other", "x-0-first", "1-x-first"):
            assert feed.since(wrong) is None, wrong


async def test_a_stream_that_was_filled_again(source: Source) -> None:
    """Ids begin again on another server: what it lacks the snapshot tells, and followers begin again.

    A cursor of before, which is ahead of those of now, is good for nothing.
    """
    async with running(source) as feed:
        for number in range(5):
            before = source.revoke("session", f"session-{number}")
        await arrived(lambda: feed.cursor == before)
        with feed.follow() as queue:
            source.known = [entry for _, entry in source.entries]
            source.entries, source.filling = [], "second"
            source.known.append(Revocation(kind="token", value="token-1", expires_at=source.known[0].expires_at))
            assert await queue.get() is None
        with pytest.raises(TokenRevoked):
            await feed.check(claims(source.clock))
        with feed.follow() as queue:
            assert feed.since(before) is None
            source.revoke("session", "session-9")
            told = await queue.get()
        assert told is not None
        assert (told[0], told[1]["value"]) == ("1-0-second", "session-9")
        assert feed.since("0-0-second") == [told]


async def test_a_stream_that_was_filled_again_while_token_is_away(source: Source) -> None:
    """Until there is a snapshot nothing is known of what was missed, so that no heartbeat says otherwise."""
    async with running(source, staleness=0.05) as feed:
        source.door.clear()
        source.filling = "second"
        await arrived(lambda: feed.state == "stale")
        source.door.set()
        await arrived(lambda: feed.state == "live")


async def test_closing(source: Source) -> None:
    """Every follower is let go when the gateway ends."""
    async with running(source) as feed:
        with feed.follow() as queue:
            feed.close()
            assert await queue.get() is None
        assert feed.closed
