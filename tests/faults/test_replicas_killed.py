"""One of two replicas of each service is killed (SIGKILL) under load: nobody is told anything wrong, few anything."""

import asyncio

import pytest

from deploy.running.environment import SERVICES
from tests.faults.clients import (
    IDEMPOTENT,
    Introspect,
    PasswordSignIn,
    RefreshChain,
    codes_lost_and_doubled,
    events_left,
    everybody,
    sessions_made,
)
from tests.faults.report import keep
from tests.faults.traffic import Fault, Traffic
from tests.support.platform import Platform

pytestmark = pytest.mark.timeout(600)

_IN_HAND_SECONDS = 0.3
_RECOVERED_SECONDS = 5.0
_LOADED = 2.0
"""What a machine that does other things meanwhile may make of a second."""


async def test_killing_one_of_two_replicas_of_each_service_in_turn(platform: Platform, long: bool) -> None:
    """What may be repeated is answered by the other replica; a sign-in in its hands is 503, and never done twice.

    A replica stands still for a moment before it is killed, so that it certainly has requests in its hands.
    """
    await platform.bring(2)
    clients = everybody(2 if long else 1)
    before = await sessions_made(platform)
    faults: list[Fault] = []
    async with Traffic(platform.urls, clients) as traffic:
        for service in SERVICES:
            fault = traffic.fault(f"`{service}`: kill -9 of one of two")
            faults.append(fault)
            for _ in range(3 if long else 1):
                [victim, _] = platform.replicas(service)
                victim.process.pause()
                await asyncio.sleep(_IN_HAND_SECONDS)  # while it holds requests: the fault itself
                victim.process.kill()
                fault.over()
                await fault.recovered(within=15.0)
                await platform.start(service).ready()
                await traffic.well(15.0)
            fault.close()
    lost, doubled = await codes_lost_and_doubled(platform, clients)
    held = "the other one answers all that may be repeated"
    for fault in faults:
        keep(fault.finding(group="replicas", held=held, lost=lost, doubled=doubled, long=long))
    assert traffic.wrong == [], platform.refusals
    assert await events_left(platform) == {}
    assert (lost, doubled) == (0, 0)
    for fault in faults:
        assert fault.errors(*IDEMPOTENT) == {}, (fault.name, platform.refusals)
        assert fault.errors().keys() <= {"503"}, fault.name
        assert fault.recovery is not None
        assert fault.recovery < _RECOVERED_SECONDS
        assert fault.slowest_error() < _IN_HAND_SECONDS + 1.0 * _LOADED
    sign_ins = sum(isinstance(client, RefreshChain | Introspect) for client in clients)  # they begin with one each
    asked = sum(asked.kind == PasswordSignIn.kind for asked in traffic.asked) + sign_ins
    done = sum(asked.kind == PasswordSignIn.kind and not asked.failed for asked in traffic.asked) + sign_ins
    assert done <= await sessions_made(platform) - before <= asked, "each sign-in makes one session at most"
