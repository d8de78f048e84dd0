"""One of two gateways is killed (SIGKILL) behind a balancer: what it had in hand has no answer, and that is all."""

import asyncio

import pytest

from tests.faults.balancer import Balancer
from tests.faults.clients import (
    Introspect,
    PasswordSignIn,
    RefreshChain,
    codes_lost_and_doubled,
    events_left,
    everybody,
    sessions_made,
)
from tests.faults.report import keep
from tests.faults.traffic import NO_ANSWER, Traffic
from tests.support.platform import Platform

pytestmark = pytest.mark.timeout(600)

_IN_HAND_SECONDS = 0.3
_RECOVERED_SECONDS = 5.0
_LOADED = 2.0
"""What a machine that does other things meanwhile may make of a second."""


async def test_killing_one_of_two_gateways(platform: Platform, long: bool) -> None:
    """Clients see their connection end and ask again, by the other gateway; nothing is done twice.

    The gateway stands still for a moment before it is killed, so that it certainly has requests in its hands. Nobody
    who is connected to the other one notices.
    """
    await platform.bring(1)
    [first] = platform.replicas("gateway")
    clients, others = everybody(2 if long else 1), everybody()
    before = await sessions_made(platform)
    async with Balancer() as balancer:
        await balancer.add(first)
        survivor = platform.start("gateway")
        await survivor.ready()
        async with Traffic([platform.url], others) as beside:
            await balancer.add(survivor)
            async with Traffic([balancer.url], clients, keep_alive=False) as traffic:
                fault = traffic.fault("`gateway`: kill -9 of one of two")
                unharmed = beside.fault("clients of the other gateway")
                for _ in range(5 if long else 1):
                    victim = next(one for one in platform.replicas("gateway") if one is not survivor)
                    victim.process.pause()
                    await asyncio.sleep(_IN_HAND_SECONDS)  # while it holds requests: the fault itself
                    victim.process.kill()
                    fault.over()
                    await fault.recovered(within=15.0)
                    fresh = platform.start("gateway")
                    await fresh.ready()
                    await balancer.add(fresh)
                    await traffic.more(3)
                fault.close()
                unharmed.close()
    everybody_there = [*clients, *others]
    lost, doubled = await codes_lost_and_doubled(platform, everybody_there)
    left = await events_left(platform)
    held = f"what it has in hand gets no answer; none of {len(unharmed.asked)} requests to the other one failed"
    keep(fault.finding(group="replicas", held=held, lost=lost + sum(left.values()), doubled=doubled, long=long))
    assert traffic.wrong + beside.wrong == []
    assert fault.errors(), "the fault was none"
    assert all(status.startswith(NO_ANSWER) for status in fault.errors()), fault.errors()
    assert unharmed.errors() == {}, platform.refusals
    assert fault.recovery is not None
    assert fault.recovery < _RECOVERED_SECONDS
    assert fault.slowest_error() < _IN_HAND_SECONDS + 1.0 * _LOADED
    assert (lost, doubled, left) == (0, 0, {})
    sign_ins = sum(isinstance(client, RefreshChain | Introspect) for client in everybody_there)  # they begin with one
    asked = [one for one in traffic.asked + beside.asked if one.kind == PasswordSignIn.kind]
    answered = sum(not one.failed for one in asked)
    made = await sessions_made(platform) - before - sign_ins
    assert answered <= made <= len(asked), "each sign-in makes one session at most"
