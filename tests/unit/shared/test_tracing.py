"""Which requests are traced, and what a collector that is away does to those who are."""

import ast
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from shared import context
from shared.telemetry import Telemetry
from shared.telemetry.otlp import OtlpTracing
from shared.telemetry.tracing import NO_SPAN, Tracing
from tests.support.collector import collector
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[3]
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
RECORDED = f"00-{TRACE}-{PARENT}-01"
UNRECORDED = f"00-{TRACE}-{PARENT}-00"
MANY = 400


@contextmanager
def tracing(url: str, ratio: float = 1.0) -> Iterator[tuple[OtlpTracing, Telemetry]]:
    """Traces of a gateway, sent to `url`."""
    telemetry = Telemetry("gateway")
    made = OtlpTracing(telemetry, url, ratio)
    telemetry.tracing = made
    try:
        yield made, telemetry
    finally:
        made.close()


@contextmanager
def nobody() -> Iterator[str]:
    """The URL of a collector that refuses every connection."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def serve(tracing: Tracing, headers: Mapping[str, str], *, trusted: bool = False, status: int = 200) -> str:
    """One request; returns the trace that it was in."""
    with tracing.serving("GET", headers, lambda: trusted) as span:
        trace = context.trace_id()
        span.answered(status, "/users/{id}")
    return trace


def spans(telemetry: Telemetry, outcome: str) -> float:
    """How many spans were counted."""
    return telemetry.registry.get_sample_value("dragoman_trace_spans_total", {"outcome": outcome}) or 0.0


def test_a_request_begins_a_trace_of_its_own() -> None:
    """Without a header each request is the root of a new trace, named after its path's template."""
    with collector() as collected:
        with tracing(collected.url) as (traces, _):
            seen = [serve(traces, {}), serve(traces, {})]
            assert context.traceparent() == ""
        assert [span.trace for span in collected.spans] == seen
    assert len(set(seen)) == 2
    span = collected.spans[0]
    assert (span.service, span.name, span.kind, span.parent) == ("gateway", "GET /users/{id}", "server", "")
    assert span.attributes == {
        "http.request.method": "GET",
        "http.route": "/users/{id}",
        "http.response.status_code": 200,
    }


def test_a_request_continues_the_trace_that_it_came_with() -> None:
    """Who calls the gateway finds its part below theirs."""
    with collector() as collected, tracing(collected.url) as (traces, _):
        assert serve(traces, {"traceparent": RECORDED}) == TRACE
    assert [(span.trace, span.parent) for span in collected.spans] == [(TRACE, PARENT)]


@pytest.mark.parametrize(
    "odd",
    ["", "x", RECORDED + "-more", RECORDED.upper(), f"00-{'0' * 32}-{PARENT}-01", "ff" + RECORDED[2:], RECORDED * 50],
)
def test_a_header_that_is_none_begins_a_new_trace(odd: str) -> None:
    """Whatever a client writes there, the request has a proper trace."""
    with collector() as collected, tracing(collected.url) as (traces, _):
        serve(traces, {"traceparent": odd}, trusted=True)
    (span,) = collected.spans
    assert span.trace != TRACE
    assert span.parent == ""


def test_only_a_trusted_proxy_decides_what_is_recorded() -> None:
    """Strangers can neither have all their requests recorded nor keep them from it; a proxy in front may do both."""
    with collector() as collected:
        with tracing(collected.url, ratio=0.0) as (traces, _):
            assert serve(traces, {"traceparent": RECORDED}) == ""
            assert serve(traces, {"traceparent": RECORDED}, trusted=True) == TRACE
        with tracing(collected.url, ratio=1.0) as (traces, _):
            assert serve(traces, {"traceparent": UNRECORDED}) == TRACE
            assert serve(traces, {"traceparent": UNRECORDED}, trusted=True) == ""
        assert len(collected.spans) == 2


def test_about_as_many_requests_are_traced_as_was_asked_for() -> None:
    """A quarter of many requests is a quarter, give or take."""
    with collector() as collected, tracing(collected.url, ratio=0.25) as (traces, _):
        traced = sum(bool(serve(traces, {})) for _ in range(MANY))
    assert MANY * 0.1 < traced < MANY * 0.4  # five standard deviations


def test_a_fault_of_ours_is_marked_and_a_clients_mistake_is_not() -> None:
    """Errors in the trace view are what somebody should look at."""
    with collector() as collected, tracing(collected.url) as (traces, _):
        for status in (401, 503):
            serve(traces, {}, status=status)
    assert [(span.failed, span.attributes.get("error.type")) for span in collected.spans] == [
        (False, None),
        (True, "503"),
    ]


def test_what_a_client_makes_up_names_no_span() -> None:
    """A method of somebody's own and a path that is none leave no words of theirs in a trace."""
    with (
        collector() as collected,
        tracing(collected.url) as (traces, _),
        traces.serving("STEAL", {}, lambda: False) as span,
    ):
        span.answered(404, None)
    (found,) = collected.spans
    assert (found.name, found.attributes["http.request.method"]) == ("HTTP", "_OTHER")
    assert "http.route" not in found.attributes


def test_a_collector_that_is_away_is_told_once_and_costs_spans_alone() -> None:
    """Requests go on as fast as ever, the log has one line, and what was lost is counted."""
    with nobody() as url, capture_logs() as log, tracing(url) as (traces, telemetry):
        for _ in range(MANY):
            serve(traces, {})
        started = time.monotonic()
        traces.close()
        assert time.monotonic() - started < 4.0
        assert spans(telemetry, "made") == MANY
        assert spans(telemetry, "sent") == 0
        assert spans(telemetry, "failed") > 0
    assert [line["event"] for line in log] == ["the collector takes no traces: they are lost"]


def test_a_collector_that_hangs_holds_nobody_up() -> None:
    """More spans than the queue holds are made in no time, and leaving waits two seconds and no longer."""
    with collector() as collected:
        collected.answering.clear()
        with tracing(collected.url) as (traces, telemetry):
            started = time.monotonic()
            for _ in range(4000):
                serve(traces, {})
            assert time.monotonic() - started < 4.0
            started = time.monotonic()
            traces.close()
            assert time.monotonic() - started < 4.0
            assert spans(telemetry, "made") == 4000


async def test_a_collector_that_comes_back_gets_traces_again() -> None:
    """After an outage nothing has to be restarted, and the log says that it is over."""
    with collector() as collected:
        port = int(collected.url.rpartition(":")[2])
    with capture_logs() as log, tracing(f"http://127.0.0.1:{port}") as (traces, telemetry):

        async def lost() -> bool | None:
            serve(traces, {})
            return True if spans(telemetry, "failed") else None

        await eventually(lost, 20.0, "spans are lost")
        with collector(port):

            async def arrived() -> bool | None:
                serve(traces, {})
                return True if spans(telemetry, "sent") else None

            await eventually(arrived, 20.0, "spans arrive")
            traces.close()
    assert [line["event"] for line in log] == [
        "the collector takes no traces: they are lost",
        "the collector takes traces again",
    ]


def test_nothing_is_traced_unless_a_collector_is_named() -> None:
    """Without one there is one span for all, which does nothing, and OpenTelemetry is imported nowhere."""
    off = Telemetry("gateway").tracing
    assert off.serving("GET", {"traceparent": RECORDED}, lambda: True) is NO_SPAN
    assert off.calling("otp.issue_code.v1") is NO_SPAN
    assert off.answering("otp.issue_code.v1", "") is NO_SPAN
    assert off.taking_in("x", UUID(int=1), 1, "") is NO_SPAN
    assert off.taking_in("x", UUID(int=1), 1, "no trace, which must not be in every line of the log") is NO_SPAN
    code = "import sys, services.password.__main__, gateway.app; print('shared.telemetry.otlp' in sys.modules)"
    outcome = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == "False"


def test_one_module_knows_opentelemetry() -> None:
    """All others speak of traces in words of our own, so that they run where it is not installed."""
    knowing = [
        str(path.relative_to(ROOT))
        for folder in ("cli", "deploy", "gateway", "services", "shared")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom | ast.Import) and ast.unparse(node).split()[1].startswith("opentelemetry")
    ]
    assert set(knowing) == {"shared/telemetry/otlp.py"}


def test_the_library_keeps_its_complaints_to_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """OpenTelemetry's own lines about a collector that is away, several for each attempt, are not in the log."""
    logger = logging.getLogger("opentelemetry")
    before = logger.level
    code = (
        "import logging; from shared.telemetry import configure_logging; configure_logging('debug');"
        "logging.getLogger('opentelemetry.exporter').error('no')"
    )
    outcome = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert outcome.stdout == ""
    assert logger.level == before
    assert capsys.readouterr().out == ""
