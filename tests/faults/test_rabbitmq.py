"""RabbitMQ dies, its connections are cut, or it falls silent: told within a second, over within five, nothing lost."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession, ClientTimeout

from tests.faults.clients import codes_lost_and_doubled, events_left, everybody
from tests.faults.conftest import OwnServers
from tests.faults.report import keep
from tests.faults.traffic import Client, Fault, Traffic
from tests.support.token_api import Load, TokenApi, expect_away, recovered

pytestmark = pytest.mark.timeout(600)

_TOLD_SECONDS = 1.0
_DEADLINE_SECONDS = 5.0
_RECOVERED_SECONDS = 5.0
_LOADED = 2.0
"""What a machine that does other things meanwhile may make of a second."""


async def test_a_broker_that_is_killed_and_comes_back(own: OwnServers, long: bool) -> None:
    """SIGKILL, then a start on the same data: whoever asks meanwhile is told at once, and nothing is lost."""
    async with _fault(own, "killed and restarted", "503 at once while it is away", long) as fault:
        for _ in range(2 if long else 1):
            own.rabbitmq.kill()
            await fault.traffic.more(10)
            await asyncio.to_thread(own.rabbitmq.start)
            fault.over()
            await fault.recovered(within=30.0)


async def test_connections_to_the_broker_that_are_cut(own: OwnServers, long: bool) -> None:
    """All connections are reset at once, as by a switch that restarts: what was in hand is 503, then all is well.

    A call that waits in the queue of a service which comes back later than that queue lives goes with it, and is told
    by its own deadline only.
    """
    async with _fault(own, "connections cut", "503 for what was in hand", long, told_within=_DEADLINE_SECONDS) as fault:
        for _ in range(10 if long else 3):
            own.links["rabbitmq"].cut()
            fault.over()
            await fault.recovered(within=30.0)


async def test_a_broker_that_falls_silent(own: OwnServers, long: bool) -> None:
    """Nothing arrives and nothing is refused for a while: told within a second, and over when it speaks again."""
    seconds = 30.0 if long else 4.0
    async with _fault(own, "connections frozen", f"silent for {seconds:.0f} s", long) as fault:
        own.links["rabbitmq"].freeze()
        try:
            await asyncio.sleep(seconds)  # the fault itself
        finally:
            own.links["rabbitmq"].thaw()
        fault.over()
        await fault.recovered(within=60.0)


@pytest.fixture
async def api(own: OwnServers) -> AsyncIterator[TokenApi]:
    """The token API of the platform, which is well at the beginning."""
    await own.platform.bring(1)
    async with ClientSession(timeout=ClientTimeout(20.0)) as http:
        yield TokenApi(own.platform, http)


async def test_without_a_broker_everything_is_503_until_it_is_back(own: OwnServers, api: TokenApi) -> None:
    """RabbitMQ stops and starts: no request waits for it, keys are still served, and a service may start meanwhile."""
    user = await api.sign_in()
    asks = [api.client_credentials, api.password, user.refresh, api.send_code]
    for ask in (*asks, api.keys):
        assert (await ask()).status == 200
    async with Load(api.client_credentials) as load:
        await load.more(3)
        await asyncio.to_thread(own.rabbitmq.stop)
        await load.more(3)
        for ask in asks:
            expect_away(await ask())
        assert (await api.keys()).status == 200
        own.platform.end("identity")
        await own.platform.start("identity").logged("started")
        await asyncio.to_thread(own.rabbitmq.start)
        await recovered(asks)
    _expect_gap_without_waiting(load)


async def test_a_broker_that_dies_takes_no_request_along(own: OwnServers, api: TokenApi) -> None:
    """RabbitMQ is killed while requests wait for a service: they are answered at once, not at their deadline."""
    [token] = own.platform.replicas("token")
    token.process.pause()
    in_hand = [asyncio.create_task(ask()) for ask in (api.client_credentials, api.password)]
    _, waiting = await asyncio.wait(in_hand, timeout=0.2)
    assert len(waiting) == len(in_hand)
    own.rabbitmq.kill()
    for answer in await asyncio.gather(*in_hand):
        expect_away(answer, within=1.2)  # from the sending, 0.2 s before
    token.process.resume()
    await asyncio.to_thread(own.rabbitmq.start)
    await recovered([api.client_credentials, api.password])


@asynccontextmanager
async def _fault(
    own: OwnServers, name: str, held: str, long: bool, *, told_within: float = _TOLD_SECONDS * _LOADED
) -> AsyncIterator[Fault]:
    """A fault under load, and what has to hold of each."""
    platform = own.platform
    await platform.bring(1)
    clients: Sequence[Client] = everybody(2 if long else 1)
    async with Traffic(platform.urls, clients) as traffic:
        fault = traffic.fault(name)
        yield fault
        fault.close()
        await traffic.more(3)
    lost, doubled = await codes_lost_and_doubled(platform, clients)
    left = await events_left(platform)
    keep(fault.finding(group="RabbitMQ", held=held, lost=lost + sum(left.values()), doubled=doubled, long=long))
    assert fault.errors(), "the fault was none"
    assert fault.errors().keys() == {"503"}, platform.refusals
    assert traffic.wrong == []
    assert fault.slowest_error() < told_within
    assert fault.recovery is not None
    assert fault.recovery < _RECOVERED_SECONDS * _LOADED
    assert (lost, doubled, left) == (0, 0, {})


def _expect_gap_without_waiting(load: Load) -> None:
    assert load.statuses == {200, 503}
    for answer in load.answers:
        assert answer.seconds < 1.0
        if answer.status == 503:
            expect_away(answer)
