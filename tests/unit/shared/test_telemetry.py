"""What a component tells about itself: log lines, metrics, health, the admin port."""

import asyncio
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import pytest
import structlog
from pydantic import SecretStr

from shared import context
from shared.errors import unavailable
from shared.telemetry import Health, Telemetry, configure_logging
from shared.telemetry.admin import admin_server


@contextmanager
def production_log() -> Iterator[None]:
    """The log of this process as it is in production, put back afterwards."""
    root, noisy = logging.getLogger(), [logging.getLogger(name) for name in ("aio_pika", "aiormq")]
    handlers, level, levels = root.handlers, root.level, [logger.level for logger in noisy]
    configure_logging("info")
    try:
        yield
    finally:
        structlog.reset_defaults()
        root.handlers = handlers
        root.setLevel(level)
        for logger, before in zip(noisy, levels, strict=True):
            logger.setLevel(before)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """What was logged, decoded."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


async def test_a_log_line_is_one_json_object_with_the_request_id(capsys: pytest.CaptureFixture[str]) -> None:
    """A request can be followed through the log by one word, also over line ends in what is logged."""
    telemetry = Telemetry("otp")
    with production_log(), context.request("req-3", 1):
        telemetry.log.info("sent", to="a\nb", key=SecretStr("hunter2"))
        telemetry.log.debug("not at this level")
    (line,) = lines(capsys)
    assert line["event"] == "sent"
    assert line["component"] == "otp"
    assert line["level"] == "info"
    assert line["request_id"] == "req-3"
    assert str(line["time"]).endswith("Z")
    assert line["to"] == "a\nb"
    assert "hunter2" not in str(line)


async def test_a_log_line_names_the_trace_that_it_belongs_to(capsys: pytest.CaptureFixture[str]) -> None:
    """From a trace one finds the lines of its request, and from a line the trace; untraced work has neither."""
    with production_log():
        token = context.enter_trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        Telemetry("otp").log.info("traced")
        context.leave_trace(token)
        Telemetry("otp").log.info("untraced")
    traced, untraced = lines(capsys)
    assert traced["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert "trace_id" not in untraced


@pytest.mark.parametrize("odd", ["\ud800", 2**70, {1, 2}], ids=["a lone surrogate", "a large number", "no JSON"])
async def test_whatever_is_logged_is_a_line(capsys: pytest.CaptureFixture[str], odd: object) -> None:
    """What a client wrote into its path can neither stop a request at its log line nor lose the line."""
    with production_log():
        Telemetry("otp").log.info("odd", what=odd)
    (line,) = lines(capsys)
    assert line["event"] == "odd"
    assert line["what"] in (odd, repr(odd))


async def test_libraries_log_in_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    """A library's warning, with its traceback, is one JSON object too."""
    with production_log():
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            logging.getLogger("some.library").exception("went wrong: %s", "x")
        logging.getLogger("some.library").info("chatter")
    (line,) = lines(capsys)
    assert line["event"] == "went wrong: x"
    assert line["level"] == "error"
    assert "ZeroDivisionError" in str(line["exception"])


async def test_the_admin_port_tells_life_readiness_and_metrics() -> None:
    """An orchestrator learns which dependency is away, and is told to stop sending before the process leaves."""
    telemetry, health = Telemetry("otp"), Health()
    there = True

    async def postgres() -> None:
        if not there:
            raise unavailable("the database is read-only")

    async def odd() -> None:
        if not there:
            raise ZeroDivisionError("hunter2")

    health.add("postgres", postgres)
    health.add("odd", odd)
    telemetry.events_published.labels("x.v1").inc()
    async with (
        admin_server(telemetry, health, "127.0.0.1", 0) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
    ):

        async def get(path: str) -> tuple[int, str]:
            async with http.get(path) as response:
                return response.status, await response.text()

        assert await get("/livez") == (200, '{"status": "live"}')
        status, body = await get("/readyz")
        assert (status, json.loads(body)) == (200, {"status": "ready", "checks": {"postgres": "ok", "odd": "ok"}})
        there = False
        status, body = await get("/readyz")
        assert status == 503
        assert json.loads(body)["checks"] == {"postgres": "the database is read-only", "odd": "ZeroDivisionError"}
        assert (await get("/livez"))[0] == 200
        health.stopping = True
        status, body = await get("/readyz")
        assert (status, json.loads(body)["checks"]["process"]) == (503, "stopping")
        status, body = await get("/metrics")
        assert status == 200
        assert 'dragoman_bus_events_published_total{subject="x.v1"} 1.0' in body
        assert "dragoman_loop_lag_seconds_bucket" in body
        assert (await get("/secret"))[0] == 404


async def test_metrics_tell_readiness_that_nobody_asks_for() -> None:
    """Alerts and dashboards see a dependency go and come, also where no probe asks whether the process is ready."""
    telemetry, health = Telemetry("gateway"), Health()
    there = True

    async def rabbitmq() -> None:
        if not there:
            raise unavailable("not connected")

    health.add("rabbitmq", rabbitmq)
    async with (
        admin_server(telemetry, health, "127.0.0.1", 0) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
    ):
        for there in (True, False, True):
            told = "1.0" if there else "0.0"
            async with http.get("/metrics") as response:
                assert f'dragoman_ready{{check="rabbitmq"}} {told}\n' in await response.text()


@pytest.mark.parametrize("stubborn", [False, True], ids=["", "and cannot be stopped"])
async def test_a_check_that_hangs_is_not_ready(*, stubborn: bool) -> None:
    """Readiness is told within about a second whatever its dependencies do, and metrics are no later."""
    telemetry, health, end = Telemetry("otp"), Health(), asyncio.Event()

    async def hang() -> None:
        try:
            await end.wait()
        finally:
            if stubborn:
                await end.wait()

    health.add("redis", hang)
    async with (
        admin_server(telemetry, health, "127.0.0.1", 0) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
        asyncio.timeout(4),
    ):
        assert await health.report() == {"redis": "no answer within 1 s"}
        async with http.get("/metrics") as response:
            assert 'dragoman_ready{check="redis"} 0.0\n' in await response.text()
    end.set()


def test_two_components_in_one_process_count_apart() -> None:
    """Metrics of one are not those of the other."""
    one, other = Telemetry("otp"), Telemetry("token")
    one.outbox_waiting.set(3)
    assert one.registry.get_sample_value("dragoman_outbox_waiting") == 3
    assert other.registry.get_sample_value("dragoman_outbox_waiting") == 0
