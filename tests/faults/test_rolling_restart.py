"""All five components, two replicas of each, are restarted one replica after the other (SIGTERM): nobody notices."""

from collections.abc import Callable

import pytest

from deploy.running.environment import COMPONENTS
from tests.faults.balancer import Balancer
from tests.faults.clients import ClientCredentials, RefreshChain, codes_lost_and_doubled, events_left, everybody
from tests.faults.report import keep
from tests.faults.traffic import Client, Traffic
from tests.support.platform import Platform, Replica

pytestmark = pytest.mark.timeout(600)

LEAVE_SECONDS = "1"
"""Longer than the balancer takes to see that a gateway leaves."""


async def test_restarting_every_replica_in_turn_fails_no_request(platform: Platform, long: bool) -> None:
    """No error at all, for clients who keep their connections as for those who open one for each request.

    Each replica is told to go and ends with 0 before another takes its place, so that one of two carries everything.
    """
    await platform.bring(2)
    clients = everybody(2 if long else 1)
    hasty: list[Client] = [ClientCredentials(0.1), RefreshChain(0.2)]
    [old] = platform.replicas("gateway")
    start: dict[str, Callable[[], Replica]] = {
        "gateway": lambda: platform.start("gateway", DRAGOMAN_GATEWAY_LEAVE_SECONDS=LEAVE_SECONDS)
    }
    gateways = [start["gateway"]() for _ in range(2)]
    old.process.stop()
    async with Balancer() as balancer:
        for gateway in gateways:
            await gateway.ready()
            await balancer.add(gateway)
        async with (
            Traffic([balancer.url], clients) as traffic,
            Traffic([balancer.url], hasty, keep_alive=False) as other,
        ):
            faults = {}
            for name in COMPONENTS:
                faults[name] = (traffic.fault(f"`{name}`: SIGTERM"), other.fault(name))
                for _ in range(4 if long else 1):
                    [leaving, _] = platform.replicas(name)  # the older one
                    leaving.process.terminate()
                    assert await leaving.ended() == 0
                    fresh = start.get(name, lambda name=name: platform.start(name))()
                    await fresh.ready()
                    if name == "gateway":
                        await balancer.add(fresh)
                    await traffic.more(3)
                for fault in faults[name]:
                    fault.close()
    lost, doubled = await codes_lost_and_doubled(platform, clients)
    for kept, hurried in faults.values():
        which = "each of two, twice" if long else "one of two"
        held = f"{which}; no error, nor among {len(hurried.asked)} requests on connections of their own"
        keep(kept.finding(group="rolling restart", held=held, lost=lost, doubled=doubled, long=long))
    assert traffic.wrong + other.wrong == []
    assert {name: [one.errors() for one in both] for name, both in faults.items()} == {
        name: [{}, {}] for name in COMPONENTS
    }, platform.refusals
    assert await events_left(platform) == {}
    assert (lost, doubled) == (0, 0)
