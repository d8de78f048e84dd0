"""The bus's twin in memory, for unit tests: no broker, but every message is still encoded and decoded."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, Self

from shared.bus.bus import MAX_PENDING, Bus
from shared.bus.frames import EventFrame, ReplyFrame, RequestFrame
from shared.bus.messages import Call
from shared.bus.topology import RetryPolicy, subscribers_of
from shared.clock import Clock
from shared.errors import Error, ErrorCode, unavailable
from shared.telemetry import Telemetry


class MemoryBroker:
    """What the buses of one test have in common: who is there, what waits, what was given up."""

    def __init__(self, retry: RetryPolicy | None = None) -> None:
        self.retry = retry or RetryPolicy()
        self.replicas: dict[str, deque[MemoryBus]] = defaultdict(deque)
        self.listeners: dict[str, list[MemoryBus]] = defaultdict(list)
        self.subscribed: set[str] = set()
        self.waiting: dict[str, deque[EventFrame]] = defaultdict(deque)
        self.dead: dict[str, list[tuple[EventFrame, str]]] = defaultdict(list)
        self.up = True

    def next_replica(self, component: str) -> "MemoryBus | None":
        """Whose turn it is to serve `component`."""
        replicas = self.replicas[component]
        if not replicas:
            return None
        replicas.rotate(-1)
        return replicas[-1]

    def hand_over(self, component: str, frame: EventFrame) -> None:
        """Give an event to a replica of `component`, or keep it until there is one."""
        if listeners := self.listeners[component]:
            listeners[0].take_in(frame)
        else:
            self.waiting[component].append(frame)


class MemoryBus(Bus):
    """A component's place on a `MemoryBroker`."""

    def __init__(
        self,
        broker: MemoryBroker,
        component: str,
        telemetry: Telemetry,
        clock: Clock,
        *,
        max_pending: int = MAX_PENDING,
    ) -> None:
        super().__init__(component, telemetry, clock, max_pending=max_pending)
        self._broker = broker
        self._calls: set[asyncio.Task[Any]] = set()
        self._events: set[asyncio.Task[Any]] = set()
        self._pauses: set[asyncio.Task[Any]] = set()

    @property
    def connected(self) -> bool:
        """Whether the broker is up."""
        return self._broker.up

    async def wait_connected(self) -> None:
        """Return at once: the twin is there or it is not."""

    async def __aenter__(self) -> Self:
        """Take a place among the replicas and take in what waits."""
        if self._dispatcher.calls:
            self._broker.replicas[self.component].append(self)
        if self._dispatcher.events:
            self._broker.subscribed.add(self.component)
            self._broker.listeners[self.component].append(self)
            while self._broker.waiting[self.component]:
                self.take_in(self._broker.waiting[self.component].popleft())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Take no new work and finish what was begun; events that wait for another attempt go back."""
        self._leave()
        if begun := self._calls | self._events:
            await asyncio.wait(begun)
        await _end(self._pauses)

    async def kill(self) -> None:
        """Die as a process does under kill -9: nothing is finished."""
        self._leave()
        await _end(self._calls | self._events | self._pauses)

    def _leave(self) -> None:
        if self in self._broker.replicas[self.component]:
            self._broker.replicas[self.component].remove(self)
        if self in self._broker.listeners[self.component]:
            self._broker.listeners[self.component].remove(self)

    def _spawn(self, tasks: set[asyncio.Task[Any]], work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        # An empty context: what a server knows of a request is what came with the message.
        task = asyncio.get_running_loop().create_task(work, context=Context())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return task

    async def _request(self, kind: type[Call[Any]], frame: RequestFrame) -> ReplyFrame:
        try:
            async with asyncio.timeout(frame.budget):
                while True:
                    if not self._broker.up:
                        raise unavailable("not connected to the broker")
                    replica = self._broker.next_replica(kind.owner)
                    if replica is None:
                        raise unavailable(f"nobody serves {kind.owner}")
                    task = replica._spawn(replica._calls, replica._dispatcher.answer(frame))  # noqa: SLF001 - its twin
                    await asyncio.wait([task])
                    if not task.cancelled():
                        return task.result()  # type: ignore[no-any-return]
                    frame = frame._replace(redelivered=True)
        except TimeoutError:
            message = f"{kind.owner} did not answer {kind.subject} within {frame.budget:.2f} s"
            raise Error(ErrorCode.DEADLINE_EXCEEDED, message, retry_after=1.0) from None

    async def publish(self, frame: EventFrame) -> None:
        """Hand the event to each subscriber; `unavailable` while one of them has never been there."""
        if not self._broker.up:
            raise unavailable("not connected to the broker")
        subscribers = subscribers_of(frame.subject)
        if missing := subscribers - self._broker.subscribed:
            raise unavailable(f"nobody has subscribed to {frame.subject} yet: {', '.join(sorted(missing))}")
        self._telemetry.events_published.labels(frame.subject).inc()
        for subscriber in subscribers:
            self._broker.hand_over(subscriber, frame)

    def take_in(self, frame: EventFrame) -> None:
        """Begin to handle an event that the broker gives to this replica."""
        attempt = self._spawn(self._events, self._attempt(frame))
        attempt.add_done_callback(lambda done: self._give_back(frame) if done.cancelled() else None)

    async def _attempt(self, frame: EventFrame) -> None:
        try:
            await self._dispatcher.take_in(frame)
        except Exception as error:  # noqa: BLE001 - already logged; what remains is to try again or give up
            delay = self._broker.retry.delay_after(frame.attempt)
            if delay is None:
                self._broker.dead[self.component].append((frame, repr(error)))
                return
            pause = self._spawn(self._pauses, asyncio.sleep(delay))
            pause.add_done_callback(lambda _: self._give_back(frame._replace(attempt=frame.attempt + 1)))

    def _give_back(self, frame: EventFrame) -> None:
        self._broker.hand_over(self.component, frame)


async def _end(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
