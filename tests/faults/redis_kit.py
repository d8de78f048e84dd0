"""A fault of Redis under load: what is watched meanwhile, and what has to hold of each."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import ClientSession, ClientTimeout

from shared.entropy import SystemEntropy
from tests.faults.clients import codes_lost_and_doubled, events_left, everybody
from tests.faults.report import keep
from tests.faults.revoked import Dead, Revoked
from tests.faults.traffic import Fault, Traffic
from tests.support.platform import Platform
from tests.support.token_api import TokenApi
from tests.support.waiting import eventually

LOADED = 2.0
"""What a machine that does other things meanwhile may make of a second."""
_RECOVERED_SECONDS = 2.0
_ANSWERED_SECONDS = 1.25
"""Who needs Redis waits twice for half a second, and a little for the rest."""


@dataclass
class Watched:
    """A fault under load, and what it must not touch."""

    platform: Platform
    traffic: Traffic
    fault: Fault
    revoked: Revoked
    api: TokenApi
    news: list[float] = field(default_factory=list)
    """Seconds after the end until what was revoked meanwhile was refused everywhere."""

    async def back(self, dead: list[Dead]) -> None:
        """Redis is back from now on: wait until all is well and these tokens, revoked meanwhile, are refused."""
        self.fault.over()
        assert self.fault.ended is not None
        _, news = await asyncio.gather(
            self.fault.recovered(within=30.0), self.revoked.everywhere(dead, self.fault.ended)
        )
        self.news.append(news)

    async def sent(self, address: str = "", before: str = "") -> tuple[str, str]:
        """An address, a new one unless it is given, and the code that was sent there, another one than `before`."""
        address = address or f"redis-{SystemEntropy().token_bytes(6).hex()}@example.com"
        answer = await self.api.send_code(email=address)
        assert answer.status == 200, answer

        async def another() -> str | None:
            code = await self.api.code_for(address)
            return None if code == before else code

        return address, await eventually(another, 20.0, "the code comes")

    async def accepted(self, address: str, code: str) -> bool:
        """Whether somebody gets in with this code."""
        answer = await self.api.grant("password", username=address, password=code)
        assert answer.status in {200, 400}, answer
        return answer.status == 200

    async def used_once(self, address: str, code: str) -> None:
        """The code is accepted, and not again."""
        assert await self.accepted(address, code), "the code is not accepted"
        assert not await self.accepted(address, code), "the code is accepted again"


@asynccontextmanager
async def redis_fault(platform: Platform, name: str, held: str, *, long: bool) -> AsyncIterator[Watched]:
    """A fault while inside, under load through one gateway, of two; and what has to hold of each beside `held`."""
    await _two_gateways(platform)
    clients = everybody(2 if long else 1)
    async with (
        Traffic(platform.urls[:1], clients) as traffic,
        Revoked(platform, platform.urls) as revoked,
        ClientSession(timeout=ClientTimeout(8.0)) as http,
    ):
        await revoked.everywhere(await revoked.revoke(), asyncio.get_running_loop().time())
        fault = traffic.fault(name)
        yield (at := Watched(platform, traffic, fault, revoked, TokenApi(platform, http)))
        fault.close()
        await traffic.more(3)
    lost, doubled = await codes_lost_and_doubled(platform, clients)
    left = await events_left(platform)
    slowest = max(asked.ended_at - asked.sent_at for asked in fault.asked)
    keep(
        fault.finding(
            group="Redis",
            held=f"{held}; revoked tokens are refused at two gateways and another service",
            lost=lost + sum(left.values()),
            doubled=doubled,
            long=long,
            more={
                "revoked meanwhile, refused everywhere after": f"{max(at.news):.1f} s",
                "slowest answer": f"{slowest:.1f} s",
                "tries of revoked tokens": revoked.tried,
            },
        )
    )
    others = {asked.kind for asked in fault.asked} - {"send_code"}
    assert fault.errors(*others) == {}, platform.refusals
    assert fault.errors().keys() <= {"503"}, platform.refusals
    assert traffic.wrong == []
    assert revoked.wrong == []
    assert revoked.tried > 0
    assert slowest < _ANSWERED_SECONDS * LOADED
    assert fault.recovery is not None
    assert max(fault.recovery, *at.news) < _RECOVERED_SECONDS * LOADED
    assert (lost, doubled, left) == (0, 0, {})


async def _two_gateways(platform: Platform) -> None:
    for _ in range(2 - len(platform.replicas("gateway"))):
        platform.start("gateway")
    for gateway in platform.replicas("gateway"):
        await gateway.ready()
