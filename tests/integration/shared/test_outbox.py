"""Events reach their subscribers if and only if the change that they tell of was committed."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
import structlog

from shared import context
from shared.bus import outbox
from shared.bus.frames import EventFrame
from shared.bus.memory import MemoryBroker, MemoryBus
from shared.bus.outbox import Inbox, Outbox, OutboxRelay
from shared.clock import SystemClock
from shared.contracts.identity import UserSuspended
from shared.entropy import SystemEntropy
from shared.postgres import Database
from shared.process import background
from shared.telemetry import Telemetry
from shared.testing import FakeClock
from tests.contract.bus.vehicles import SUSPENDED, Heard

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    """The worker's database."""
    async with Database(postgres_url, name="test") as opened:
        yield opened


class Scene:
    """`identity` with an outbox, and a `token` that hears it."""

    def __init__(self, database: Database, bus: MemoryBus | None = None) -> None:
        self.broker = MemoryBroker()
        self.database = database
        self.clock = FakeClock(SystemClock().now())
        self.outbox = Outbox("identity", SystemEntropy())
        self.telemetry = Telemetry("identity")
        self.bus = bus or MemoryBus(self.broker, "identity", self.telemetry, self.clock)
        self.heard = Heard()

    def relay(self) -> OutboxRelay:
        """One replica's relay."""
        return OutboxRelay("identity", self.database, self.bus, self.outbox, self.clock, self.telemetry)

    def subscriber(self) -> MemoryBus:
        """A replica of `token`; enter it."""
        token = MemoryBus(self.broker, "token", Telemetry("token"), self.clock)
        token.subscribe({UserSuspended: self.heard})
        return token

    async def tell(self, times: int = 1) -> list[UUID]:
        """Commit events; returns their ids."""
        async with self.database.transaction() as connection:
            return [await self.outbox.add(connection, SUSPENDED) for _ in range(times)]

    async def waiting(self) -> int:
        """Rows in the outbox."""
        row = await self.database.fetchrow("SELECT count(*) FROM identity.outbox")
        assert row is not None
        return int(row[0])


async def test_a_committed_event_is_published_under_the_request_that_caused_it(database: Database) -> None:
    """What was committed is heard, once, with its request id, and leaves the outbox."""
    scene = Scene(database)
    requests: list[str] = []

    async def note(*_: object) -> None:
        requests.append(context.request_id())

    token = scene.subscriber()
    token.subscribe({UserSuspended: note})
    async with token:
        with context.request("req-9", 5):
            await scene.tell()
        assert await scene.relay().publish_batch() == 1
        assert await scene.relay().publish_batch() == 0
    assert requests == ["req-9"]
    assert await scene.waiting() == 0


async def test_an_event_goes_on_in_the_trace_of_its_change(database: Database) -> None:
    """Its own process tells the trace with it, also after many others; another replica publishes it without."""
    scene = Scene(database)
    traces: list[str] = []

    async def note(*_: object) -> None:
        traces.append(context.traceparent())

    token = scene.subscriber()
    token.subscribe({UserSuspended: note})
    async with token:
        entered = context.enter_trace(TRACEPARENT)
        await scene.tell()
        assert await scene.relay().publish_batch() == 1
        await scene.tell()
        context.leave_trace(entered)
        await scene.tell()
        scene.outbox = Outbox("identity", SystemEntropy())
        assert await scene.relay().publish_batch() == 2
    assert traces == [TRACEPARENT, "", ""]


async def test_the_traces_of_events_do_not_pile_up(database: Database) -> None:
    """Of very many events that wait, the last ones keep their traces, and the memory for them is bounded."""
    scene = Scene(database)
    entered = context.enter_trace(TRACEPARENT)
    ids = await scene.tell(1010)
    context.leave_trace(entered)
    known = [event_id for event_id in ids if scene.outbox.trace_of(event_id)]
    assert known == ids[10:]


async def test_an_event_whose_change_was_rolled_back_never_existed(database: Database) -> None:
    """Nobody hears of what did not happen."""
    scene = Scene(database)

    async def work() -> None:
        async with database.transaction() as connection:
            await scene.outbox.add(connection, SUSPENDED)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await work()
    async with scene.subscriber():
        assert await scene.relay().publish_batch() == 0


async def test_an_event_is_due_at_once_although_the_clocks_disagree(database: Database) -> None:
    """A service whose clock is behind the database's tells its events no later."""
    scene = Scene(database)
    scene.clock.advance(-3600)
    async with scene.subscriber():
        await scene.tell()
        assert await scene.relay().publish_batch() == 1


async def test_a_broker_that_is_slow_does_not_keep_a_batch_open(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the time of a batch is over, what was published so far is committed, and the rest is the next batch's."""
    scene = Scene(database)
    monkeypatch.setattr(outbox, "_BATCH_SECONDS", 0.0)
    async with scene.subscriber():
        await scene.tell(2)
        assert await scene.relay().publish_batch() == 1
        assert await scene.waiting() == 1
        assert await scene.relay().publish_batch() == 1
    assert scene.heard.deliveries.qsize() == 2


async def test_an_event_that_cannot_be_published_is_tried_again_with_growing_pauses(database: Database) -> None:
    """While its subscriber was never there an event stays, and is not hammered at the broker."""
    scene = Scene(database)
    (event_id,) = await scene.tell()
    relay = scene.relay()
    for pause in (1, 2, 4, 8, 16, 30, 30):
        assert await relay.publish_batch() == 0
        row = await database.fetchrow("SELECT due_at FROM identity.outbox")
        assert row is not None
        assert (row["due_at"] - scene.clock.now()).total_seconds() == pytest.approx(pause, abs=0.001)
        scene.clock.advance(pause)
    async with scene.subscriber():
        assert await relay.publish_batch() == 1
        assert (await scene.heard.next())[1].id == event_id


async def test_one_event_that_cannot_be_published_holds_up_no_other(database: Database) -> None:
    """Events behind it pass."""
    scene = Scene(database)
    await scene.tell()
    await database.execute("UPDATE identity.outbox SET subject = 'identity.password_changed.v1'")
    await scene.tell()
    scene.broker.subscribed.add("token")

    class Picky(MemoryBus):
        async def publish(self, frame: EventFrame) -> None:
            if frame.subject != SUSPENDED.subject:
                scene.broker.subscribed.clear()
            try:
                await super().publish(frame)
            finally:
                scene.broker.subscribed.add("token")

    scene.bus = Picky(scene.broker, "identity", scene.telemetry, scene.clock)
    async with scene.subscriber():
        assert await scene.relay().publish_batch() == 1
    assert await scene.waiting() == 1


@pytest.mark.parametrize("poison", ["of another version", "beyond belief"])
async def test_an_event_that_trips_the_relay_holds_up_and_repeats_no_other(database: Database, poison: str) -> None:
    """What cannot be published, for whatever reason, waits with growing pauses; the others are told once and leave."""
    scene = Scene(database)

    class Odd(MemoryBus):
        async def publish(self, frame: EventFrame) -> None:
            if frame.subject == "beyond belief":
                raise ZeroDivisionError
            await super().publish(frame)

    scene.bus = Odd(scene.broker, "identity", scene.telemetry, scene.clock)
    async with scene.subscriber():
        (before,), (poisoned,), (after,) = [await scene.tell() for _ in range(3)]
        await database.execute("UPDATE identity.outbox SET subject = $2 WHERE id = $1", poisoned, poison)
        with structlog.testing.capture_logs() as lines:
            assert await scene.relay().publish_batch() == 2
        (line,) = [line for line in lines if line["event"] == "event not published"]
        assert line["subject"] == poison
        scene.clock.advance(1)
        assert await scene.relay().publish_batch() == 0
    assert [(await scene.heard.next())[1].id for _ in range(2)] == [before, after]
    assert scene.heard.deliveries.empty()
    row = await database.fetchrow("SELECT id, attempts FROM identity.outbox")
    assert row is not None
    assert tuple(row) == (poisoned, 2)


async def test_two_relays_publish_each_event_once(database: Database) -> None:
    """Replicas share the outbox and repeat nothing in normal operation."""
    scene = Scene(database)
    async with scene.subscriber():
        ids = await scene.tell(120)
        one, other = scene.relay(), scene.relay()
        while await scene.waiting():
            await asyncio.gather(one.publish_batch(), other.publish_batch())
        heard = Counter([(await scene.heard.next())[1].id for _ in ids])
    assert heard == Counter(ids)
    assert scene.heard.deliveries.empty()


async def test_a_crash_after_publishing_publishes_again_under_the_same_id(database: Database) -> None:
    """At least once: the repeat can be recognised."""
    scene = Scene(database)

    class Crashing(MemoryBus):
        crashed = False

        async def publish(self, frame: EventFrame) -> None:
            await super().publish(frame)
            if not self.crashed:
                self.crashed = True
                raise asyncio.CancelledError  # as the end of the process, which is no fault of the event's

    scene.bus = Crashing(scene.broker, "identity", scene.telemetry, scene.clock)
    async with scene.subscriber():
        (event_id,) = await scene.tell()
        with pytest.raises(asyncio.CancelledError):
            await scene.relay().publish_batch()
        assert await scene.relay().publish_batch() == 1
        assert [(await scene.heard.next())[1].id for _ in range(2)] == [event_id] * 2


async def test_a_running_relay_tells_soon_after_the_commit(database: Database) -> None:
    """A commit that comes a little after the event was added is not left until the next look around."""
    scene = Scene(database)
    async with scene.subscriber(), background(asyncio.create_task(scene.relay().run())):
        for _ in range(3):
            async with database.transaction() as connection:
                await scene.outbox.add(connection, SUSPENDED)
                await connection.execute("SELECT pg_sleep(0.05)")
            committed = asyncio.get_running_loop().time()
            await scene.heard.next()
            assert asyncio.get_running_loop().time() - committed < 0.4


async def test_a_running_relay_survives_what_it_does_not_know(database: Database) -> None:
    """A fault in one round is not the end of all events."""
    scene = Scene(database)

    class Odd(MemoryBus):
        rounds = 0

        @property
        def connected(self) -> bool:
            self.rounds += 1
            if self.rounds == 1:
                raise ZeroDivisionError
            return super().connected

    scene.bus = Odd(scene.broker, "identity", scene.telemetry, scene.clock)
    async with scene.subscriber(), background(asyncio.create_task(scene.relay().run())):
        await scene.tell()
        await scene.heard.next()


async def test_the_inbox_knows_an_event_once_it_was_handled(database: Database) -> None:
    """A repeat is recognised; an event whose handling was rolled back is new again."""
    inbox = Inbox("token")
    event_id = UUID(int=5)

    async def fail() -> None:
        async with database.transaction() as connection:
            assert await inbox.is_new(connection, event_id)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    answers = []
    for _ in range(2):
        async with database.transaction() as connection:
            answers.append(await inbox.is_new(connection, event_id))
    assert answers == [True, False]


async def test_two_replicas_do_not_both_handle_one_event(database: Database) -> None:
    """Of two that take in the same event at the same time one sees that it is not new."""
    inbox = Inbox("token")

    async def take_in() -> bool:
        async with database.transaction() as connection:
            return await inbox.is_new(connection, UUID(int=6))

    assert sorted(await asyncio.gather(take_in(), take_in())) == [False, True]


async def test_the_inbox_forgets_what_no_repeat_can_ask_for(database: Database) -> None:
    """Ids are kept for days and no longer."""
    scene = Scene(database)
    relay = OutboxRelay("token", database, scene.bus, scene.outbox, scene.clock, scene.telemetry)
    await database.execute("INSERT INTO token.inbox (event_id) VALUES ($1)", UUID(int=7))
    scene.clock.advance(6 * 86400)
    await relay.forget_handled()
    assert await database.fetchrow("SELECT 1 FROM token.inbox") is not None
    scene.clock.advance(2 * 86400)
    await relay.forget_handled()
    assert await database.fetchrow("SELECT 1 FROM token.inbox") is None
