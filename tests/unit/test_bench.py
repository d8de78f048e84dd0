"""What the benchmarks compute, where a mistake would look like a figure."""

import asyncio
import os
import sys
from dataclasses import replace
from itertools import count
from math import inf

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from prometheus_client import generate_latest

from shared.telemetry import Telemetry
from tests.bench.accounting import Accounting, cpu_ticks, difference
from tests.bench.load import Load, Outcome, Shot, drive, provide_wrk
from tests.bench.measuring import Figure, per_success, percentile
from tests.bench.results import Memory, Results
from tests.bench.saturated import lag_buckets, percentile_of


def stat_line(name: str) -> str:
    """A line of /proc/<pid>/stat: 7 and 5 ticks of its own, 3 and 2 of children."""
    return f"42 ({name}) S 1 42 42 0 -1 4194304 100 200 0 0 7 5 3 2 20 0 1 0 12345 1000 100 18446744073709551615"


def test_ticks_are_the_process_s_and_its_children_s() -> None:
    """User and system time, of the process and of its ended children."""
    assert cpu_ticks(stat_line("python3")) == 17


def test_a_name_may_look_like_fields() -> None:
    """The name of a process is whatever it likes."""
    assert cpu_ticks(stat_line("a) S 1 (b 9 9")) == 17


async def test_a_child_that_has_ended_is_counted_with_its_parent() -> None:
    """PostgreSQL ends processes all the time; their work was done all the same."""
    accounting = Accounting({"here": [os.getpid()]})
    before = accounting.snapshot()
    spin = "import time\nwhile time.process_time() < 0.3: pass"
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", spin)
    async with asyncio.timeout(10.0):
        assert await child.wait() == 0
    assert difference(before, accounting.snapshot())["here"] > 0.25


def test_a_process_that_has_gone_uses_nothing() -> None:
    """A component that has died must not end the measurement."""
    accounting = Accounting({"gone": [2**22 + 1]})
    assert accounting.snapshot() == {"gone": 0.0}
    assert accounting.memory() == {"gone": 0.0}


def test_memory_is_in_mib() -> None:
    """The kernel tells KiB."""
    assert 5 < Accounting({"here": [os.getpid()]}).memory()["here"] < 4096


def test_a_percentile_is_a_value_that_was_there() -> None:
    """The 99th of a hundred is the last but none; one value is every percentile of itself."""
    values = [float(number) for number in range(100)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile([7.0], 0.99)) == (50.0, 99.0, 7.0)
    assert percentile([], 0.5) == 0.0


def test_cpu_is_shared_by_successes_alone() -> None:
    """Without one there is nothing to divide by."""
    assert per_success({"gateway": 0.5}, 1000) == {"gateway": 500.0}
    assert per_success({"gateway": 0.5}, 0) == {"gateway": 0.0}


def test_lag_is_read_from_a_component_s_own_metrics() -> None:
    """The bound of the bucket that has the percentile, not one below it."""
    telemetry = Telemetry("gateway")
    for seconds in [0.0004] * 97 + [0.02] * 3:
        telemetry.loop_lag_seconds.observe(seconds)
    buckets = lag_buckets(generate_latest(telemetry.registry).decode())
    assert buckets[0.001] == 97
    assert buckets[inf] == 100
    assert [percentile_of(buckets, share) for share in (0.5, 0.97, 0.99)] == [0.001, 0.001, 0.025]


def test_lag_beyond_every_bound_is_told_as_such() -> None:
    """It is never mistaken for the last bound; of nothing nothing is told."""
    assert percentile_of({0.001: 1.0, inf: 3.0}, 0.99) == inf
    assert percentile_of({0.001: 0.0, inf: 0.0}, 0.99) == 0.0


def outcome(requests: int, errors: int) -> Outcome:
    """A run of a second."""
    return Outcome(requests, errors, 1.0, 1.0, 1.0, 1.0, 0.1, "500 no" if errors else "")


def test_a_run_with_errors_or_without_answers_is_told() -> None:
    """Either ends the bench with status 1; a slow one does not."""
    results = Results({}, Memory("PSS", {}, {}))
    for name, one in (("slow", outcome(1, 0)), ("wrong", outcome(5, 2)), ("silent", outcome(0, 0))):
        results.operations.append(Figure(name, 16, one, {}))
    assert results.wrong == ["wrong at 16: 2 errors 500 no", "silent at 16: nothing was answered"]


class Sessions:
    """A server whose tokens are good once, and follow one another after a moment."""

    def __init__(self, tokens: list[str]) -> None:
        self._live = set(tokens)
        self._made = count(1)
        self.replayed = 0

    async def refresh(self, request: web.Request) -> web.Response:
        """The successor of a token, once."""
        token = (await request.json())["token"]
        if token not in self._live:
            self.replayed += 1
            return web.json_response({"error": "replayed"})
        self._live.remove(token)
        await asyncio.sleep(0.001)
        successor = f"made-{next(self._made)}"
        self._live.add(successor)
        return web.json_response({"refresh_token": successor})


@pytest.fixture(scope="module")
def _wrk() -> None:
    """What drives the load, installed where it is missing."""
    provide_wrk()


needs_wrk = pytest.mark.usefixtures("_wrk")


@needs_wrk
async def test_no_token_is_under_way_twice() -> None:
    """Each connection goes on with a token that nobody else has."""
    tokens = [f"first-{number}" for number in range(20)]
    sessions = Sessions(tokens)
    application = web.Application()
    application.router.add_post("/refresh", sessions.refresh)
    shot = Shot("POST", "/refresh", {"Content-Type": "application/json"}, '{"token": "{token}"}')
    load = Load("refresh", [shot], '"refresh_token"', chain="refresh_token", tokens=tokens)
    async with TestServer(application) as server:
        outcome = await drive(f"http://127.0.0.1:{server.port}", load, 16, 1)
    assert (outcome.errors, sessions.replayed) == (0, 0)
    assert outcome.requests > 20


@needs_wrk
async def test_an_answer_is_judged_and_not_only_counted() -> None:
    """Status, mark and header all have to be as expected."""

    async def right(_request: web.Request) -> web.Response:
        return web.json_response({"yes": 1}, headers={"X-Some": "thing"})

    application = web.Application()
    application.router.add_get("/right", right)
    fine = Load("fine", [Shot("GET", "/right")], '"yes"', header="x-some")
    bad = [
        replace(fine, mark='"no"'),
        replace(fine, header="X-Other"),
        replace(fine, status=201),
        replace(fine, shots=[Shot("GET", "/wrong")]),
    ]
    async with TestServer(application) as server:
        url = f"http://127.0.0.1:{server.port}"
        good, *others = await asyncio.gather(*(drive(url, load, 1, 1) for load in (fine, *bad)))
    assert good.requests > 0
    assert (good.errors, good.example) == (0, "")
    for outcome in others:
        assert outcome.requests == 0
        assert outcome.errors > 0
        assert outcome.example


@needs_wrk
async def test_successes_of_the_ramp_are_not_counted() -> None:
    """The rate is that of the time behind the ramp."""
    times: list[float] = []

    async def paced(_request: web.Request) -> web.Response:
        await asyncio.sleep(0.05)
        times.append(asyncio.get_running_loop().time())
        return web.Response()

    application = web.Application()
    application.router.add_get("/", paced)
    load = Load("paced", [Shot("GET", "/")], ramp_seconds=1)
    async with TestServer(application) as server:
        outcome = await drive(f"http://127.0.0.1:{server.port}", load, 1, 1)
    assert 0.9 < outcome.seconds < 1.3
    assert outcome.requests < len(times) * 0.7
