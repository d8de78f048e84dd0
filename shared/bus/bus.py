"""The bus as components see it: typed calls with deadlines, and events. Two transports stand behind it."""

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from typing import Any, Self, TypeVar

from pydantic import ValidationError
from pydantic_core import to_json

from shared import context
from shared.bus.dispatch import CallHandler, Dispatcher, EventHandler
from shared.bus.frames import EventFrame, ReplyFrame, RequestFrame
from shared.bus.messages import Call, Event, Reply
from shared.clock import Clock
from shared.errors import Error, ErrorCode
from shared.telemetry import Telemetry

R = TypeVar("R", bound=Reply)

_LEAST_BUDGET_SECONDS = 0.02
"""A call with less time than this is refused here: no answer could be back in time."""

_KEPT_SECONDS = 0.02
"""Kept back from the time of the request that a call is part of: who made it hears that nobody answered, and can act on
that, before its own time is over."""

MAX_PENDING = 2000
"""Calls that may wait for one service; more would only queue up behind their own deadlines."""


class Bus(ABC):
    """One component's place on the bus.

    Entering it starts to connect and returns at once, so that components start in any order;
    leaving it takes no new work, finishes what was begun and closes.
    """

    def __init__(self, component: str, telemetry: Telemetry, clock: Clock, *, max_pending: int = MAX_PENDING) -> None:
        """`max_pending` calls to one service may wait at once; one more is `overloaded`."""
        self.component = component
        self._telemetry = telemetry
        self._clock = clock
        self._dispatcher = Dispatcher(component, telemetry, clock)
        self._max_pending = max_pending
        self._waiting: Counter[str] = Counter()

    def serve(self, handlers: Mapping[type[Call[Any]], CallHandler]) -> None:
        """Answer these calls; to be said before the bus is entered."""
        for call in handlers:  # counted from 0, so that the first crash is seen as an increase
            self._telemetry.handled.labels(call.subject, ErrorCode.INTERNAL)
        self._dispatcher.calls.update({call.subject: (call, handler) for call, handler in handlers.items()})

    def subscribe(self, handlers: Mapping[type[Event], EventHandler]) -> None:
        """Take in these events, each at least once; to be said before the bus is entered."""
        for event in handlers:  # from 0 as well
            self._telemetry.events_handled.labels(event.subject, "dead")
        self._dispatcher.events.update({event.subject: (event, handler) for event, handler in handlers.items()})

    async def call(self, call: Call[R]) -> R:
        """Send `call` to its owner and return the reply.

        Raises the owner's `Error` as it was raised there; `unavailable` at once when nobody serves it or the connection
        is lost; `deadline_exceeded` when the time of the call or of the request around it is over; `overloaded` when
        too many calls wait for the owner already.
        """
        kind = type(call)
        left = context.remaining()
        budget = kind.timeout if left is None else min(kind.timeout, left - _KEPT_SECONDS)
        started = time.perf_counter()
        code: str = "abandoned"
        with self._telemetry.tracing.calling(kind.subject) as span:
            try:
                if self.component not in kind.callers:
                    raise Error(ErrorCode.FORBIDDEN, f"{self.component} may not call {kind.subject}")
                if budget < _LEAST_BUDGET_SECONDS:
                    message = f"{self.component} had no time left to call {kind.subject}"
                    raise Error(ErrorCode.DEADLINE_EXCEEDED, message)
                if self._waiting[kind.owner] >= self._max_pending:
                    raise Error(ErrorCode.OVERLOADED, f"too many calls wait for {kind.owner}", retry_after=1.0)
                frame = RequestFrame(
                    subject=kind.subject,
                    body=to_json(call),
                    caller=self.component,
                    request_id=context.request_id(),
                    budget=budget,
                    sent_at=self._clock.now().timestamp(),
                    traceparent=context.traceparent(),
                )
                self._waiting[kind.owner] += 1
                try:
                    reply = await self._request(kind, frame)
                finally:
                    self._waiting[kind.owner] -= 1
                answer = _decode(kind, reply)
                code = "ok"
                return answer
            except Error as error:
                code = error.code
                raise
            finally:
                span.came_to(code)
                self._telemetry.calls.labels(kind.subject, code).inc()
                self._telemetry.call_seconds.labels(kind.subject).observe(time.perf_counter() - started)

    @property
    @abstractmethod
    def connected(self) -> bool:
        """Whether calls and events can pass at this moment."""

    @abstractmethod
    async def wait_connected(self) -> None:
        """Return once calls and events can pass; the caller sets the deadline."""

    @abstractmethod
    async def publish(self, frame: EventFrame) -> None:
        """Hand an event over; returns when it is safe, raises `unavailable` when that is not certain.

        One of a subject that this version does not know is `unavailable` too.

        For the outbox relay: business code writes to the outbox, in the transaction of the change that it tells of.
        """

    @abstractmethod
    async def __aenter__(self) -> Self: ...

    @abstractmethod
    async def __aexit__(self, *_: object) -> None: ...

    @abstractmethod
    async def _request(self, kind: type[Call[Any]], frame: RequestFrame) -> ReplyFrame: ...


def _decode(kind: type[Call[R]], reply: ReplyFrame) -> R:
    try:
        if not reply.ok:
            raise Error.from_json(reply.body)
        return kind.reply.model_validate_json(reply.body)  # type: ignore[return-value]
    except ValidationError:
        raise Error(ErrorCode.INTERNAL, f"{kind.owner} answered {kind.subject} with what is no reply to it") from None
