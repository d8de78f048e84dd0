"""Today's version and the next one side by side, all five components of each: nobody notices who answers."""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pytest
from aiohttp import ClientSession, ClientTimeout

from deploy.running.components import program
from deploy.running.environment import COMPONENTS, SERVICES
from deploy.seeds.__main__ import send
from tests.e2e.conftest import new_platform, start
from tests.faults.balancer import Balancer
from tests.faults.clients import codes_lost_and_doubled, events_left, everybody
from tests.faults.conftest import GRACE
from tests.faults.next_version import Kind, Tally
from tests.faults.report import keep
from tests.faults.test_rolling_restart import LEAVE_SECONDS
from tests.faults.traffic import Traffic
from tests.support.platform import Platform, Replica
from tests.support.token_api import TokenApi
from tests.support.urls import ServerUrls
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(600)

Version = Literal["today", "next"]
NEXT = (sys.executable, "-m", "tests.faults.next_version")
KINDS: tuple[Kind, ...] = ("Call", "Reply", "Event")


@pytest.fixture(scope="module")
def platform(server_urls: ServerUrls, worker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Today's version, whose gateways take their time to leave."""
    settings = {**GRACE, "DRAGOMAN_GATEWAY_LEAVE_SECONDS": LEAVE_SECONDS}
    with new_platform(server_urls, worker, tmp_path_factory.mktemp("platform"), settings) as made:
        asyncio.run(start(made))
        yield made


@dataclass
class Fleet:
    """The replicas of both versions, and the balancer in front of their gateways."""

    platform: Platform
    balancer: Balancer
    running: dict[tuple[Version, str], Replica] = field(default_factory=dict)
    ended: list[tuple[Version, Replica]] = field(default_factory=list)

    async def begin(self) -> None:
        """Take over what runs, which is today's."""
        for name in COMPONENTS:
            [self.running["today", name]] = self.platform.replicas(name)
        await self.balancer.add(self.running["today", "gateway"])

    async def come(self, *names: str) -> None:
        """Add a replica of the next version of each of these components; returns when all are ready."""
        for name in names:
            self.running["next", name] = self.platform._launch(name, [*NEXT, name], self.platform.environment)
        for name in names:
            replica = self.running["next", name]
            await replica.ready()
            if name == "gateway":
                await self.balancer.add(replica)

    async def leave(self, version: Version, *names: str) -> None:
        """Tell the replicas of these components to go, one after the other, as an update does."""
        for name in names:
            replica = self.running.pop((version, name))
            replica.process.terminate()
            assert await replica.ended() == 0
            self.ended.append((version, replica))

    def url(self, version: Version) -> str:
        """Where the gateway of that version listens."""
        [port] = [line["port"] for line in self.running[version, "gateway"].lines() if line["event"] == "listening"]
        return f"http://127.0.0.1:{port}"


async def test_a_version_with_a_field_more_comes_and_goes(platform: Platform, long: bool) -> None:
    """No request fails while both versions answer, while the next one is taken back, and while it comes for good.

    Its gateway goes last and comes first, so that each version's gateway works over the other's services alone.
    """
    clients = everybody(2 if long else 1)
    answers = 30 if long else 2
    async with Balancer() as balancer:
        fleet = Fleet(platform, balancer)
        await fleet.begin()
        await fleet.come(*COMPONENTS)
        await _check_documents(fleet)
        for version in ("today", "next") if long else ():
            await _check_operators(fleet, version)
        async with Traffic([balancer.url], clients) as traffic:
            back = traffic.fault("a version with a field more is taken back")
            await traffic.more(answers)
            await fleet.leave("next", *SERVICES)
            await traffic.more(answers)
            await fleet.leave("next", "gateway")
            await traffic.more(answers)
            back.close()
            upgrade = traffic.fault("upgrade to a version with a field more in every message")
            await fleet.come("gateway")
            await traffic.more(answers)
            await fleet.come(*SERVICES)
            await traffic.more(answers)
            await fleet.leave("today", *SERVICES)
            await traffic.more(answers)
            await fleet.leave("today", "gateway")
            await traffic.more(answers)
            upgrade.close()
        lost, doubled = await codes_lost_and_doubled(platform, clients)
        left = await events_left(platform)
        await fleet.leave("next", *COMPONENTS)
    for fault in (upgrade, back):
        held = "one replica of each version of all five; no request noticed"
        keep(fault.finding(group="versions", held=held, lost=lost, doubled=doubled, long=long))
    assert traffic.wrong == []
    assert (upgrade.errors(), back.errors()) == ({}, {}), platform.refusals
    assert (lost, doubled, left) == (0, 0, {})
    _check_that_both_took_part(fleet)


async def _check_documents(fleet: Fleet) -> None:
    """Every request that the documents of the four APIs print is answered as they say, and with not a word more."""
    results = await send(fleet.url("next"), fleet.platform.inbox["http"])
    assert {example.path: problem for example, problem in results if problem} == {}
    await fleet.platform.load_demo()


async def _check_operators(fleet: Fleet, version: Version) -> None:
    """Whom an operator with a command of either version suspends has no session any more, whoever hears of it."""
    command = [program("dragoman")] if version == "today" else NEXT
    async with ClientSession(timeout=ClientTimeout(20.0)) as http:
        api = TokenApi(fleet.platform, http)
        for number in range(4):
            address = f"versions-{version}-{number}@example.com"
            assert (await api.send_code(email=address)).status == 200
            tokens = await api.grant("password", username=address, password=await api.code_for(address))
            refresh_token = tokens.body["refresh_token"]
            assert (await api.grant("refresh_token", refresh_token=refresh_token)).status == 200
            await fleet.platform.run(*command, "user", "suspend", address)

            async def refused(refresh_token: str = refresh_token) -> bool | None:
                return True if (await api.grant("refresh_token", refresh_token=refresh_token)).status == 400 else None

            await eventually(refused, 10.0, "the session of a suspended user ends")


def _check_that_both_took_part(fleet: Fleet) -> None:
    """Each replica of each version has answered, and messages of each version were read by the other."""
    assert len(fleet.ended) == 3 * len(COMPONENTS)
    for version, replica in fleet.ended:
        answered = {"request", "call"} & {str(line["event"]) for line in replica.lines()}
        assert answered, (version, replica.name)
    tally = Tally(_lines(fleet.ended, "next"))
    for kind in KINDS:
        assert tally.read(kind, "today") > 0, kind
        assert tally.read(kind, "next") > 0, kind
        assert tally.read_by_today(kind) > 0, kind


def _lines(replicas: Sequence[tuple[Version, Replica]], version: Version) -> list[dict[str, object]]:
    return [line for of, replica in replicas if of == version for line in replica.lines()]
