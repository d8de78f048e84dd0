"""The transactional outbox: an event is committed with the change it tells of, then published until confirmed.

And its counterpart, the inbox, by which a subscriber recognises a repeat.
"""

import asyncio
from contextlib import suppress
from datetime import timedelta
from math import inf
from uuid import UUID

from shared import context
from shared.bus.bus import Bus
from shared.bus.frames import EventFrame
from shared.bus.messages import Event
from shared.clock import Clock
from shared.entropy import Entropy
from shared.errors import Error
from shared.postgres import Connection, Database
from shared.telemetry import Telemetry

_POLL_SECONDS = 1.0
_QUICK_SECONDS = 0.01
_BATCH = 50
_BATCH_SECONDS = 5.0
"""So long a batch goes on, so that the server does not take its transaction for one that was left behind."""

_BACKOFF_SECONDS = 30.0
_TRACES = 1000
_KEEP_INBOX = timedelta(days=7)
"""Longer than any event can wait for its last attempt, so that no repeat comes after it was forgotten."""


class Outbox:
    """Writes events into the service's own schema (table `outbox`).

    The trace of each is kept in memory alone: as a rule it is this process that publishes an event, a moment later. One
    that another replica publishes, or that outlives its process, goes without its trace and with the request's id.
    """

    def __init__(self, schema: str, entropy: Entropy) -> None:
        self._entropy = entropy
        # Due at once, whatever the clocks of the database and of the relay say.
        self._insert = (
            f"INSERT INTO {schema}.outbox (id, subject, body, request_id, due_at) VALUES ($1, $2, $3, $4, '-infinity')"
        )
        self.added = asyncio.Event()
        self._traces: dict[UUID, str] = {}

    async def add(self, connection: Connection, event: Event) -> UUID:
        """Write `event` in the caller's transaction; returns its id."""
        event_id = self._entropy.uuid()
        body = event.model_dump_json().encode()
        await connection.execute(self._insert, event_id, event.subject, body, context.request_id())
        if traceparent := context.traceparent():
            self._traces[event_id] = traceparent
            if len(self._traces) > _TRACES:
                del self._traces[next(iter(self._traces))]
        # Set before the commit, so that the relay's first look is often in vain; its next ones follow quickly.
        self.added.set()
        return event_id

    def trace_of(self, event_id: UUID) -> str:
        """The `traceparent` of the change that an event of this process tells of, "" where that is not known."""
        return self._traces.get(event_id, "")


class Inbox:
    """Remembers which events were handled (table `inbox`)."""

    def __init__(self, schema: str) -> None:
        self._insert = f"INSERT INTO {schema}.inbox (event_id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING event_id"

    async def is_new(self, connection: Connection, event_id: UUID) -> bool:
        """Whether the event was not handled before; remembers it in the caller's transaction."""
        return await connection.fetchval(self._insert, event_id) is not None


class OutboxRelay:
    """Publishes what is in the outbox from any number of replicas at once: the oldest first, what failed once last.

    That is the order of the index, so that a backlog of 100,000 events after an outage is not sorted for each batch.
    """

    def __init__(
        self, schema: str, database: Database, bus: Bus, outbox: Outbox, clock: Clock, telemetry: Telemetry
    ) -> None:
        self._schema = schema
        self._database = database
        self._bus = bus
        self._outbox = outbox
        self._clock = clock
        self._telemetry = telemetry

    async def run(self) -> None:
        """Publish until cancelled; what fails stays and is tried again with growing pauses."""
        pause = _POLL_SECONDS
        measured, loop = -inf, asyncio.get_running_loop()
        while True:
            pause = _QUICK_SECONDS if self._outbox.added.is_set() else min(2 * pause, _POLL_SECONDS)
            self._outbox.added.clear()
            published = 0
            try:
                if self._bus.connected:
                    published = await self.publish_batch()
                if loop.time() >= measured + _POLL_SECONDS:  # counting a backlog takes as long as publishing a batch
                    measured = loop.time()
                    await self._measure()
            except Error as error:
                self._telemetry.log.warning("outbox waits", reason=error.message)
            except Exception:
                self._telemetry.log.exception("outbox failed")
            if published < _BATCH:
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._outbox.added.wait()

    async def publish_batch(self) -> int:
        """Publish at most a batch of what is due, less when the broker is slow; returns how many it confirmed.

        The rows stay locked meanwhile, so that replicas share the work; a crash before the commit publishes again,
        which subscribers recognise by the event's id.
        """
        now = self._clock.now()
        loop = asyncio.get_running_loop()
        end = loop.time() + _BATCH_SECONDS
        published: list[UUID] = []
        async with self._database.transaction() as connection:
            rows = await connection.fetch(
                f"SELECT id, subject, body, request_id, attempts FROM {self._schema}.outbox "
                "WHERE due_at <= $1 ORDER BY due_at, position LIMIT $2 FOR UPDATE SKIP LOCKED",
                now,
                _BATCH,
            )
            for row in rows:
                frame = EventFrame(
                    id=row["id"],
                    subject=row["subject"],
                    body=row["body"],
                    request_id=row["request_id"],
                    traceparent=self._outbox.trace_of(row["id"]),
                )
                try:
                    await self._bus.publish(frame)
                    published.append(row["id"])
                except Exception as error:  # noqa: BLE001 - whatever it is, it is this event's: the others go on
                    fault = {"reason": error.message} if isinstance(error, Error) else {"exc_info": error}
                    self._telemetry.log.warning("event not published", subject=frame.subject, **fault)
                    if not self._bus.connected:
                        break
                    pause = min(_BACKOFF_SECONDS, 2.0 ** row["attempts"])
                    await connection.execute(
                        f"UPDATE {self._schema}.outbox SET attempts = attempts + 1, due_at = $2 WHERE id = $1",
                        row["id"],
                        now + timedelta(seconds=pause),
                    )
                if loop.time() > end:
                    break
            await connection.execute(f"DELETE FROM {self._schema}.outbox WHERE id = ANY($1)", published)
        return len(published)

    async def forget_handled(self) -> None:
        """Drop inbox rows that no repeat can ask for any more."""
        await self._database.execute(
            f"DELETE FROM {self._schema}.inbox WHERE handled_at < $1",
            self._clock.now() - _KEEP_INBOX,
        )

    async def _measure(self) -> None:
        row = await self._database.fetchrow(
            f"SELECT count(*) AS waiting, min(created_at) AS oldest FROM {self._schema}.outbox"
        )
        assert row is not None
        age = (self._clock.now() - row["oldest"]).total_seconds() if row["oldest"] else 0.0
        self._telemetry.outbox_waiting.set(row["waiting"])
        self._telemetry.outbox_age_seconds.set(max(0.0, age))
