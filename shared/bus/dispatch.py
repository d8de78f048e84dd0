"""The serving half of the bus, the same over either transport: bytes in, handler, bytes out, one log line."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from pydantic_core import to_json

from shared import context
from shared.bus.frames import EventFrame, ReplyFrame, RequestFrame, seconds_left
from shared.bus.messages import Call, Event, Reply
from shared.clock import Clock
from shared.deadlines import Deadlines
from shared.errors import Error, ErrorCode, unavailable
from shared.telemetry import Telemetry

_ANSWER_SECONDS = 0.02
"""Kept back from the caller's budget, so that when time runs out in here there is still time to say so."""

_EVENT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """How an event came: its `id` is the same at every delivery, `attempt` counts from 1."""

    id: UUID
    attempt: int


CallHandler = Callable[[Any], Awaitable[Reply]]
EventHandler = Callable[[Any, Delivery], Awaitable[None]]


class Dispatcher:
    """Decodes what arrives, runs its handler within the caller's time and encodes what comes of it."""

    def __init__(self, component: str, telemetry: Telemetry, clock: Clock) -> None:
        self.calls: dict[str, tuple[type[Call[Any]], CallHandler]] = {}
        self.events: dict[str, tuple[type[Event], EventHandler]] = {}
        self._component = component
        self._telemetry = telemetry
        self._clock = clock
        self._deadlines = Deadlines()

    async def answer(self, frame: RequestFrame) -> ReplyFrame:
        """Answer a call; whatever goes wrong becomes an error reply, never an exception."""
        started = time.perf_counter()
        left = seconds_left(frame.budget, frame.sent_at, self._clock.now().timestamp()) - _ANSWER_SECONDS
        subject = frame.subject if frame.subject in self.calls else "unknown"
        tracing = self._telemetry.tracing
        with context.request(frame.request_id, left), tracing.answering(subject, frame.traceparent) as span:
            code: str = "ok"
            fault: dict[str, Any] = {}
            try:
                reply = ReplyFrame(ok=True, body=to_json(await self._handle(frame, left)))
            except Error as error:
                code = error.code
                fault = {"reason": error.message}
                reply = ReplyFrame(ok=False, body=_encode(error))
            except Exception as exception:  # noqa: BLE001 - the last net: the caller gets an id, the log gets the cause
                code = ErrorCode.INTERNAL
                fault = {"exc_info": exception}
                message = f"{self._component} failed in request {frame.request_id}"
                reply = ReplyFrame(ok=False, body=Error(ErrorCode.INTERNAL, message).to_json())
            seconds = time.perf_counter() - started
            span.came_to(code)
            self._telemetry.handled.labels(subject, code).inc()
            self._telemetry.handle_seconds.labels(subject).observe(seconds)
            write = self._telemetry.log.error if code == ErrorCode.INTERNAL else self._telemetry.log.info
            write("call", subject=subject, caller=frame.caller, code=code, ms=round(seconds * 1000, 2), **fault)
        return reply

    async def _handle(self, frame: RequestFrame, left: float) -> Reply:
        if frame.subject not in self.calls:
            # A newer replica bound this subject to the queue that all share: another one can answer it.
            raise unavailable(f"this replica of {self._component} does not know {frame.subject}")
        kind, handler = self.calls[frame.subject]
        if frame.caller not in kind.callers:
            raise Error(ErrorCode.FORBIDDEN, f"{frame.caller} may not call {frame.subject}")
        if frame.redelivered and not kind.idempotent:
            raise unavailable(f"a replica of {self._component} died holding {frame.subject}; it is not done twice")
        if left <= 0:
            raise Error(ErrorCode.DEADLINE_EXCEEDED, f"{frame.subject} reached {self._component} too late")
        try:
            call = kind.model_validate_json(frame.body)
        except ValidationError as error:
            fields = sorted({".".join(map(str, problem["loc"])) for problem in error.errors(include_input=False)})
            raise Error(ErrorCode.INVALID_REQUEST, f"{frame.subject} is malformed", detail={"fields": fields}) from None
        try:
            with self._deadlines.limit(left) as limit:
                return await handler(call)
        except TimeoutError:
            if limit.expired:
                message = f"{self._component} ran out of time in {frame.subject}"
                raise Error(ErrorCode.DEADLINE_EXCEEDED, message, retry_after=1.0) from None
            raise

    def lane(self, frame: EventFrame) -> str | None:
        """The lane that an event is worked on in; None for one that has none, or cannot be read."""
        kind = self.events[frame.subject][0] if frame.subject in self.events else None
        if kind is None or not kind.lane:
            return None
        try:
            return str(getattr(kind.model_validate_json(frame.body), kind.lane))
        except ValidationError:
            return None

    async def take_in(self, frame: EventFrame) -> None:
        """Handle an event; raises whatever the handler raised, so that the transport tries again later."""
        started = time.perf_counter()
        known = frame.subject in self.events
        subject = frame.subject if known else "unknown"
        tracing = self._telemetry.tracing
        with (
            context.request(frame.request_id, _EVENT_SECONDS),
            tracing.taking_in(subject, frame.id, frame.attempt, frame.traceparent) as span,
        ):
            outcome, fault = "abandoned", {}
            try:
                if not known:
                    raise unavailable(f"this replica of {self._component} does not know {frame.subject}")
                kind, handler = self.events[frame.subject]
                async with asyncio.timeout(_EVENT_SECONDS):
                    await handler(kind.model_validate_json(frame.body), Delivery(frame.id, frame.attempt))
                outcome = "done"
            except Exception as error:
                outcome = "failed"
                fault = {"reason": str(error) if isinstance(error, Error) else repr(error)}
                raise
            finally:
                span.came_to(outcome)
                self._telemetry.log.info(
                    "event",
                    subject=subject,
                    event_id=str(frame.id),
                    attempt=frame.attempt,
                    outcome=outcome,
                    ms=round((time.perf_counter() - started) * 1000, 2),
                    **fault,
                )


def _encode(error: Error) -> bytes:
    try:
        return error.to_json()
    except (ValueError, TypeError):  # its detail is no JSON; what is left says as much as can be said
        return Error(ErrorCode.INTERNAL, f"{error.code} with a detail that cannot be encoded").to_json()
