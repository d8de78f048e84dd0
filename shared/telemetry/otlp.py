"""Traces that are collected: OpenTelemetry's spans, sent to an OTLP/HTTP collector in the background.

Names and attributes follow OpenTelemetry's semantic conventions for HTTP, RPC and messaging. What a span says is chosen
here, one attribute at a time: methods, templates of paths, subjects and codes, and nothing that a client has written.
"""

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from contextvars import Token
from typing import Self
from uuid import UUID

from opentelemetry.context import Context, attach, detach
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared import context
from shared.errors import ErrorCode
from shared.telemetry.telemetry import Telemetry
from shared.telemetry.tracing import NO_SPAN, Span, Tracing

_QUEUE = 2048
"""Spans that wait to be sent; of more the oldest are lost, and the work that they tell of goes on."""

_BATCH = 256
_PAUSE_SECONDS = 2.0
_SEND_SECONDS = 3.0
_CLOSE_SECONDS = 2.0
_GIVE_UP_SECONDS = 0.5
_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
_FAULTS = frozenset(
    {
        ErrorCode.INTERNAL,
        ErrorCode.UNAVAILABLE,
        ErrorCode.OVERLOADED,
        ErrorCode.DEADLINE_EXCEEDED,
        "abandoned",
        "failed",
    }
)
"""Outcomes that are somebody's fault; a wrong password is an answer like any other."""

_PROPAGATOR = TraceContextTextMapPropagator()


class _Live(Span):
    """A span that is recorded, and stands at the head of its trace while it is entered."""

    __slots__ = ("_context", "_span", "_token")

    def __init__(self, span: OtelSpan) -> None:
        self._span = span
        self._context: Token[Context]
        self._token: Token[str]

    def __enter__(self) -> Self:
        self._context = attach(set_span_in_context(self._span))
        self._token = context.enter_trace(_written(self._span.get_span_context()))
        return self

    def __exit__(self, *_: object) -> None:
        context.leave_trace(self._token)
        detach(self._context)
        self._span.end()

    def _fail(self, kind: str) -> None:
        self._span.set_attribute("error.type", kind)
        self._span.set_status(Status(StatusCode.ERROR))


class _Request(_Live):
    """An HTTP request."""

    __slots__ = ("_method",)

    def __init__(self, span: OtelSpan, method: str) -> None:
        super().__init__(span)
        self._method = method

    def answered(self, status: int, route: str | None) -> None:
        """Name it after its path, which is known now. What is our fault is an error; what is the client's is not."""
        self._span.set_attribute("http.response.status_code", status)
        if route is not None:
            self._span.set_attribute("http.route", route)
            self._span.update_name(f"{self._method} {route}")
        if status >= 500:
            self._fail(str(status))


class _Call(_Live):
    """A call, on either side."""

    __slots__ = ()

    def came_to(self, code: str) -> None:
        """Say with which code it was answered."""
        self._span.set_attribute("rpc.response.status_code", code)
        if code in _FAULTS:
            self._fail(code)


class _Event(_Live):
    """An event on the side of its subscriber."""

    __slots__ = ()

    def came_to(self, code: str) -> None:
        """Say whether it has to come again."""
        if code in _FAULTS:
            self._fail(code)


class OtlpTracing(Tracing):
    """Records what is traced, and sends it from a thread of its own.

    A collector that is away, slow or dead costs spans and nothing else: they wait in a queue of fixed length.
    """

    def __init__(self, telemetry: Telemetry, endpoint: str, ratio: float) -> None:
        """`endpoint` is the base URL of the collector; `ratio`, 0 to 1, is how many requests are traced."""
        self._ratio = ratio
        resource = Resource.create({"service.name": telemetry.component, "service.namespace": "dragoman"})
        # Whoever asks has decided already: what is not to be traced gets no span at all.
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=_SEND_SECONDS)
        self._collector = _Collector(exporter, telemetry)
        self._provider.add_span_processor(_Queue(self._collector, telemetry))
        self._tracer = self._provider.get_tracer("dragoman")

    def serving(self, method: str, headers: Mapping[str, str], trusted: Callable[[], bool]) -> Span:
        """Continue the trace of the request's header, or begin one.

        Whether it is recorded is the word of a trusted proxy, and for all others left to chance: neither can strangers
        have every request of theirs recorded, nor keep one from it.
        """
        given = headers.get("traceparent")
        parent = _read(given) if given else None
        if parent is not None and trusted():
            recorded = _head(parent).trace_flags.sampled
        else:
            recorded = random.random() < self._ratio  # noqa: S311 - nothing secret hangs on it
        if not recorded:
            return NO_SPAN
        name = method if method in _METHODS else "HTTP"
        attributes = {"http.request.method": method if method in _METHODS else "_OTHER"}
        return _Request(self._tracer.start_span(name, parent or Context(), SpanKind.SERVER, attributes), name)

    def calling(self, subject: str) -> Span:
        """A call in a trace that is under way; background work begins none."""
        if not context.traceparent():
            return NO_SPAN
        return _Call(self._tracer.start_span(subject, None, SpanKind.CLIENT, _rpc(subject)))

    def answering(self, subject: str, traceparent: str) -> Span:
        """The caller's span is its parent."""
        parent = _recorded(traceparent)
        if parent is None:
            return NO_SPAN
        return _Call(self._tracer.start_span(subject, parent, SpanKind.SERVER, _rpc(subject)))

    def taking_in(self, subject: str, event_id: UUID, attempt: int, traceparent: str) -> Span:
        """The change that the event tells of is its parent, however long ago that was."""
        parent = _recorded(traceparent)
        if parent is None:
            return NO_SPAN
        attributes: dict[str, str | int] = {
            "messaging.system": "rabbitmq",
            "messaging.operation.type": "process",
            "messaging.operation.name": "process",
            "messaging.rabbitmq.destination.routing_key": subject,
            "messaging.message.id": str(event_id),
            "dragoman.attempt": attempt,
        }
        return _Event(self._tracer.start_span(f"process {subject}", parent, SpanKind.CONSUMER, attributes))

    def close(self) -> None:
        """Send what waits; what a collector has not taken after two seconds is lost."""
        # In a thread, since a shutdown waits for whatever is being sent, and cannot be told how long.
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)
        if closing.is_alive():
            self._collector.shutdown()
            closing.join(_GIVE_UP_SECONDS)


class _Queue(BatchSpanProcessor):
    """What waits to be sent, counted as it comes: the library loses without a word what does not fit."""

    def __init__(self, collector: SpanExporter, telemetry: Telemetry) -> None:
        super().__init__(collector, _QUEUE, _PAUSE_SECONDS * 1000, _BATCH)
        self._made = telemetry.trace_spans.labels("made")

    def on_end(self, span: ReadableSpan) -> None:
        """Put it into the queue."""
        self._made.inc()
        super().on_end(span)


class _Collector(SpanExporter):
    """The way to the collector. Tells the log once that it takes nothing, and once that it does again."""

    def __init__(self, exporter: SpanExporter, telemetry: Telemetry) -> None:
        self._exporter = exporter
        self._telemetry = telemetry
        self._away = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch; tries for a few seconds."""
        result = self._exporter.export(spans)
        away = result is not SpanExportResult.SUCCESS
        self._telemetry.trace_spans.labels("failed" if away else "sent").inc(len(spans))
        if away != self._away:
            self._away = away
            if away:
                self._telemetry.log.warning("the collector takes no traces: they are lost")
            else:
                self._telemetry.log.info("the collector takes traces again")
        return result

    def shutdown(self) -> None:
        """Give up what is being tried; nothing is sent any more."""
        self._exporter.shutdown()


def _rpc(subject: str) -> dict[str, str]:
    return {"rpc.system.name": "dragoman", "rpc.method": "_OTHER" if subject == "unknown" else subject}


def _read(traceparent: str) -> Context | None:
    """The context of a trace, None for what is no traceparent."""
    found = _PROPAGATOR.extract({"traceparent": traceparent}, Context())
    return found if _head(found).is_valid else None


def _recorded(traceparent: str) -> Context | None:
    found = _read(traceparent) if traceparent else None
    return found if found is not None and _head(found).trace_flags.sampled else None


def _head(found: Context) -> SpanContext:
    return get_current_span(found).get_span_context()


def _written(head: SpanContext) -> str:
    return f"00-{head.trace_id:032x}-{head.span_id:016x}-{head.trace_flags:02x}"
