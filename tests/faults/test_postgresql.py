"""PostgreSQL dies, falls silent, turns read-only or is locked: 503 in time, over within five seconds, nothing lost."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import ClientSession

from deploy.running.database import in_database
from tests.faults.clients import codes_lost_and_doubled, events_left, everybody
from tests.faults.conftest import OwnServers
from tests.faults.promises import SignUp, connected, connections, forgotten, left_open
from tests.faults.report import keep
from tests.faults.traffic import Client, Fault, Traffic
from tests.support.token_api import TokenApi, expect_away

pytestmark = pytest.mark.timeout(600)

_AT_ONCE_SECONDS = 1.0
_DEADLINE_SECONDS = 5.0
_RECOVERED_SECONDS = 5.0
_REPLACED_SECONDS = 8.0
"""A statement's time, for its cancellation to be confirmed, and once more for whoever had begun with the next."""
_LOADED = 2.0
"""What a machine that does other things meanwhile may make of a second."""
_IN_HAND_SECONDS = 0.3
_POOL_SIZE = 10
_ENOUGH_FOR_THE_POOL = 4
"""Four times the clients keep sixteen sessions, more than there are connections."""
_WITHOUT_SESSIONS = ("client_credentials", "introspect", "revoke", "send_code")


async def test_a_database_that_is_killed_and_comes_back(own: OwnServers, long: bool) -> None:
    """SIGKILL of all its processes, then a start on the same data: told at once, and nothing confirmed is lost."""
    held = "503 at once while it is away; published keys go on"
    async with _fault(own, "killed and restarted", held, long) as fault, ClientSession() as http:
        api = TokenApi(own.platform, http)
        assert (await api.keys()).status == 200
        for _ in range(3 if long else 1):
            own.postgres.kill()
            try:
                await fault.traffic.more(20 if long else 5)
                assert (await api.keys()).status == 200
                expect_away(await api.client_credentials(), within=_AT_ONCE_SECONDS * _LOADED)
            finally:
                await asyncio.to_thread(own.postgres.start)
            fault.over()
            await fault.recovered(within=30.0)


async def test_connections_to_the_database_that_are_cut(own: OwnServers, long: bool) -> None:
    """All connections are reset at once: what was in hand is 503, what comes next is answered by new connections.

    They stand still for a moment before, so that there certainly is something in hand.
    """
    link = own.links["postgres"]
    async with _fault(own, "connections cut", "503 for what was in hand", long) as fault:
        for _ in range(10 if long else 3):
            link.freeze()
            await asyncio.sleep(_IN_HAND_SECONDS)  # while requests come: the fault itself
            link.cut()
            link.thaw()
            fault.over()
            await fault.recovered(within=30.0)


async def test_a_database_that_falls_silent(own: OwnServers, long: bool) -> None:
    """Nothing arrives and nothing is refused for a while: told before the gateway's deadline, over with the silence."""
    seconds = 30.0 if long else 6.0
    held = f"silent for {seconds:.0f} s; told before the deadline"
    async with _fault(own, "connections frozen", held, long, told_within=_DEADLINE_SECONDS) as fault:
        own.links["postgres"].freeze()
        try:
            await asyncio.sleep(seconds)  # the fault itself
        finally:
            own.links["postgres"].thaw()
        fault.over()
        await fault.recovered(within=60.0)


async def test_a_database_that_turns_read_only(own: OwnServers, long: bool) -> None:
    """Writes are refused (SQLSTATE 25006) on connections that are open: told at once, and noticed when it is over."""
    held = "503 at once while it is; its connections are left, and new ones made when it is over"
    async with _fault(own, "turned read-only", held, long) as fault, connected(_url(own)) as administrator:
        for _ in range(3 if long else 1):
            await administrator.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            await administrator.execute("SELECT pg_reload_conf()")
            try:
                await fault.traffic.more(5)
            finally:
                await administrator.execute("SET default_transaction_read_only = off")
                await administrator.execute("ALTER SYSTEM RESET default_transaction_read_only")
                await administrator.execute("SELECT pg_reload_conf()")
            fault.over()
            await fault.recovered(within=30.0)


async def test_a_table_that_is_locked(own: OwnServers, long: bool) -> None:
    """Somebody locks the sessions: whoever needs them is told soon, and nobody else waits for a connection."""
    held = "what needs the table is 503; the rest goes on"
    name = "sessions locked by a stuck query"
    async with _fault(own, name, held, long, told_within=3.0, times=_ENOUGH_FOR_THE_POOL) as fault:
        async with connected(_url(own)) as somebody, somebody.transaction():
            await somebody.execute("LOCK TABLE token.sessions IN ACCESS EXCLUSIVE MODE")
            await asyncio.sleep(20.0 if long else 2.0)  # the fault itself
            await fault.traffic.more(3, within=60.0)
        fault.over()
        await fault.recovered(within=30.0)
        assert fault.errors(*_WITHOUT_SESSIONS) == {}
        assert fault.errors("password", "refresh").keys() == {"503"}


async def test_connections_whose_server_process_hangs(own: OwnServers, long: bool) -> None:
    """Every connection of `token` hangs at once: told before the deadline, then they are replaced, also if it lasts."""
    held = "told before the deadline; the pool replaces them while it lasts"
    name = "all connections of `token` hang"
    more: dict[str, str] = {}
    async with _fault(own, name, held, long, told_within=_DEADLINE_SECONDS, more=more) as fault:
        loop = asyncio.get_running_loop()
        for _ in range(3 if long else 1):
            async with _hanging(own, "dragoman token"):
                began = loop.time()
                await fault.traffic.well(_REPLACED_SECONDS * _LOADED)
                more["all well again while it lasts"] = f"{loop.time() - began:.1f} s"
            fault.over()
            await fault.recovered(within=30.0)


@asynccontextmanager
async def _hanging(own: OwnServers, application: str) -> AsyncIterator[None]:
    """The server processes of a component's connections stand still while inside.

    Those that are not between two transactions go on: they might hold what the whole server waits for.
    """
    query = "SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND state = 'idle'"
    async with connected(_url(own)) as administrator:
        stopped = {row["pid"] for row in await administrator.fetch(query, application)}
        try:
            _signal(stopped, signal.SIGSTOP)
            idle = {row["pid"] for row in await administrator.fetch(query, application)}
            _signal(stopped - idle, signal.SIGCONT)
            assert idle & stopped
            yield
        finally:
            _signal(stopped, signal.SIGCONT)


def _signal(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _url(own: OwnServers) -> str:
    return in_database(own.postgres.url, "dragoman")


@asynccontextmanager
async def _fault(
    own: OwnServers,
    name: str,
    held: str,
    long: bool,
    *,
    told_within: float = _AT_ONCE_SECONDS * _LOADED,
    times: int = 0,
    more: dict[str, str] | None = None,
) -> AsyncIterator[Fault]:
    """A fault under load, and what has to hold of each."""
    platform = own.platform
    await platform.bring(1)
    clients: Sequence[Client] = [*everybody(times or (2 if long else 1)), SignUp(0.3, platform.inbox["http"])]
    async with Traffic(platform.urls, clients) as traffic:
        fault = traffic.fault(name)
        yield fault
        fault.close()
        await traffic.more(3)
        assert all(number <= _POOL_SIZE for number in (await connections(_url(own))).values())
    lost, doubled = await codes_lost_and_doubled(platform, clients)
    left = await events_left(platform)
    gone = await forgotten(_url(own), clients)
    lost += sum(left.values()) + len(gone)
    keep(fault.finding(group="PostgreSQL", held=held, lost=lost, doubled=doubled, long=long, more=more or {}))
    assert fault.errors(), "the fault was none"
    assert fault.errors().keys() == {"503"}, platform.refusals
    assert traffic.wrong == []
    assert fault.slowest_error() < told_within
    assert fault.recovery is not None
    assert fault.recovery < _RECOVERED_SECONDS * _LOADED
    assert (lost, left, gone) == (0, {}, [])
    assert doubled <= 2, "a mail that was sent but could not be noted is sent again, under the same Message-ID"
    assert await left_open(_url(own)) == []
