"""A collector of traces: takes OTLP over HTTP, as OpenTelemetry's own does, and keeps what it was sent."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1 import trace_pb2

from tests.support.waiting import eventually

PATIENCE_SECONDS = 10.0


@dataclass(frozen=True)
class Collected:
    """A span as it arrived; ids are hexadecimal, `parent` is "" at the root of a trace."""

    service: str
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    failed: bool
    attributes: dict[str, str | int | float | bool]


class Collector:
    """What was collected; `alive` False makes it keep its clients waiting."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.spans: list[Collected] = []
        self.raw = b""
        """Everything that it was sent, unread."""
        self.answering = threading.Event()
        self.answering.set()

    async def trace(self, trace: str, number: int) -> list[Collected]:
        """The spans of a trace, as soon as there are so many."""

        async def look() -> list[Collected] | None:
            found = [span for span in self.spans if span.trace == trace]
            return found if len(found) >= number else None

        return await eventually(look, PATIENCE_SECONDS, f"{number} spans of the trace are collected")

    async def span(self, service: str, name: str) -> Collected:
        """The first span of that name, awaited."""

        async def look() -> Collected | None:
            return next((span for span in self.spans if (span.service, span.name) == (service, name)), None)

        return await eventually(look, PATIENCE_SECONDS, f"{service} sends {name!r}")

    def take(self, body: bytes) -> None:
        """Read a request of the protocol."""
        self.raw += body
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            service = next(
                pair.value.string_value for pair in resource.resource.attributes if pair.key == "service.name"
            )
            self.spans += [_read(service, span) for scope in resource.scope_spans for span in scope.spans]


@contextmanager
def collector(port: int = 0) -> Iterator[Collector]:
    """A collector that runs while inside, on `port` or one of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if not made.answering.wait(PATIENCE_SECONDS):
                return
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if self.path == "/v1/traces":
                made.take(body)
            answer = ExportTraceServiceResponse().SerializeToString()
            with suppress(OSError):  # who sent it waits no longer
                self.send_response(200 if self.path == "/v1/traces" else 404)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the library's name for it
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        server.daemon_threads = True
        made = Collector(server.server_port)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield made
        finally:
            made.answering.set()
            server.shutdown()
            thread.join()


def _read(service: str, span: trace_pb2.Span) -> Collected:
    return Collected(
        service=service,
        name=span.name,
        kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        attributes={pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "") for pair in span.attributes},
    )
