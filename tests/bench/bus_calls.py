"""A call over the bus by itself: from this process, as the gateway's, to the real `token`."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from shared import context
from shared.bus.rabbit import RabbitBus
from shared.clock import SystemClock
from shared.contracts.token import GetKeys
from shared.telemetry import Telemetry
from tests.bench.accounting import Accounting, difference
from tests.bench.measuring import per_success, repeat
from tests.support.platform import Platform

_CONNECT_SECONDS = 10.0
_CALL_SECONDS = 5.0
_WARM_UP_SECONDS = 0.5


@dataclass(frozen=True)
class BusFigure:
    """token.get_keys.v1, so many at a time: calls a second, latencies, CPU-µs per call of `caller`, `token` and all."""

    at_once: int
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: Mapping[str, float]

    @property
    def python_cpu_us(self) -> float:
        """CPU-µs per call of Python, both sides."""
        return self.cpu_us["caller"] + self.cpu_us["token"]


@asynccontextmanager
async def gateway_bus(platform: Platform) -> AsyncIterator[RabbitBus]:
    """A bus of this process's own, under the gateway's name."""
    url = platform.environment["DRAGOMAN_GATEWAY_RABBITMQ_URL"]
    async with RabbitBus(url, "gateway", Telemetry("gateway"), SystemClock()) as bus:
        async with asyncio.timeout(_CONNECT_SECONDS):
            await bus.wait_connected()
        yield bus


async def bus_calls(platform: Platform, accounting: Accounting, at_once: int, seconds: float) -> BusFigure:
    """Call again and again, `at_once` at a time. Raises what a call raises."""
    async with gateway_bus(platform) as bus:

        async def call(number: int) -> None:
            with context.request(f"bench-{number}", _CALL_SECONDS):
                assert (await bus.call(GetKeys())).keys

        await repeat(call, at_once, _WARM_UP_SECONDS)
        before = accounting.snapshot()
        done = await repeat(call, at_once, seconds)
        used = {"caller": done.cpu_seconds, **difference(before, accounting.snapshot())}
    return BusFigure(at_once, done.number / done.seconds, done.p50_ms, done.p99_ms, per_success(used, done.number))
