"""What the bus does when the broker, or the way to it, fails."""

import asyncio
from urllib.parse import urlsplit

import aio_pika
import pytest

from shared import context
from shared.bus import topology
from shared.bus.bus import Bus
from shared.bus.rabbit import RabbitBus
from shared.bus.topology import RetryPolicy
from shared.clock import SystemClock
from shared.contracts.identity import UserSuspended
from shared.contracts.otp import CodeIssued, DeliveryRequested, IssueCode
from shared.errors import Error, ErrorCode
from shared.telemetry import Telemetry
from tests.conftest import broker_url
from tests.contract.bus.transports import Rabbit
from tests.contract.bus.vehicles import ISSUE, NOON, SUSPENDED, Heard, Held, delivery, issue, told

ISSUED = CodeIssued(expires_at=NOON)


async def answered(bus: Bus, seconds: float = 5.0) -> CodeIssued:
    """The reply to a call that is repeated while it is unavailable."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                return await bus.call(ISSUE)
            except Error as error:
                if error.code != ErrorCode.UNAVAILABLE:
                    raise
                await bus.wait_connected()


async def test_a_cut_connection_fails_its_calls_at_once_and_comes_back(rabbit: Rabbit) -> None:
    """A caller whose connection is reset does not wait for an answer that cannot come."""
    held = Held()
    await rabbit.start("otp", {IssueCode: held.issue})
    identity = await rabbit.start("identity")
    waiting = [asyncio.create_task(identity.call(ISSUE)) for _ in range(3)]
    for _ in waiting:
        await held.begun.acquire()
    rabbit.proxies[identity].cut()
    async with asyncio.timeout(0.5):
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [getattr(outcome, "code", outcome) for outcome in outcomes] == [ErrorCode.UNAVAILABLE] * 3
    held.gate.set()
    assert await answered(identity) == ISSUED


async def test_a_server_whose_connection_was_cut_serves_again(rabbit: Rabbit) -> None:
    """A service comes back by itself, and its callers learn at once that it was away."""
    otp = await rabbit.start("otp", {IssueCode: issue})
    identity = await rabbit.start("identity")
    for _ in range(3):
        rabbit.proxies[otp].cut()
        assert await answered(identity) == ISSUED


async def test_a_frozen_connection_is_a_deadline_and_no_hang(rabbit: Rabbit) -> None:
    """When nothing arrives and nothing is refused, the caller's own deadline ends the call."""
    await rabbit.start("otp", {IssueCode: issue})
    identity = await rabbit.start("identity")
    rabbit.proxies[identity].freeze()
    started = asyncio.get_running_loop().time()
    with context.request("r", 0.3), pytest.raises(Error) as raised:
        await identity.call(ISSUE)
    assert raised.value.code == ErrorCode.DEADLINE_EXCEEDED
    assert "otp did not answer otp.issue_code.v1" in raised.value.message
    assert asyncio.get_running_loop().time() - started < 0.5
    rabbit.proxies[identity].thaw()
    assert await answered(identity) == ISSUED


async def test_a_frozen_connection_is_told_within_a_second_and_may_thaw(rabbit: Rabbit) -> None:
    """Nobody waits for a broker that has gone silent: first the calls in hand fail, then new ones at once."""
    await rabbit.start("otp", {IssueCode: issue})
    identity = await rabbit.start("identity")
    loop = asyncio.get_running_loop()
    rabbit.proxies[identity].freeze()
    for within in (2.0, 0.2):  # a second, and what a loaded machine needs
        started = loop.time()
        with context.request("r", 5.0), pytest.raises(Error) as raised:
            await identity.call(ISSUE)
        assert raised.value.code == ErrorCode.UNAVAILABLE
        assert loop.time() - started < within
    assert not identity.connected
    rabbit.proxies[identity].thaw()
    assert await answered(identity) == ISSUED


async def test_leaving_a_frozen_connection_ends_in_time(rabbit: Rabbit) -> None:
    """A process can stop although its broker does not answer."""
    identity = await rabbit.start("identity")
    rabbit.proxies[identity].freeze()
    async with asyncio.timeout(3.0):
        await rabbit.stop(identity)


async def test_a_component_starts_before_its_broker(rabbit: Rabbit) -> None:
    """Entering returns at once, calls are unavailable meanwhile, and the connection comes by itself."""
    await rabbit.start("otp", {IssueCode: issue})
    identity = await rabbit._make("identity", 10)
    proxy = rabbit.proxies[identity]
    proxy.refusing = True
    async with identity:
        started = asyncio.get_running_loop().time()
        with pytest.raises(Error) as raised:
            await identity.call(ISSUE)
        assert raised.value.code == ErrorCode.UNAVAILABLE
        with pytest.raises(Error):
            await identity.publish(told(SUSPENDED))
        assert asyncio.get_running_loop().time() - started < 0.1
        assert not identity.connected
        proxy.refusing = False
        async with asyncio.timeout(5):
            await identity.wait_connected()
        assert await identity.call(ISSUE) == ISSUED


async def test_a_connection_lost_at_any_point_of_its_setup_is_tried_again(rabbit: Rabbit) -> None:
    """No moment is so unlucky that the supervisor gives up."""
    for size in range(1, 1400, 90):
        otp = await rabbit._make("otp", 10)
        otp.serve({IssueCode: issue})
        proxy = rabbit.proxies[otp]
        proxy.cut_next_after(size)
        async with otp:
            async with asyncio.timeout(5):
                await otp.wait_connected()
                if proxy.accepted == 1:  # the setup needed less than that
                    return
    raise AssertionError("the setup takes more bytes than were tried")


async def test_a_queue_deleted_under_its_consumers_is_declared_again(rabbit: Rabbit) -> None:
    """A service whose queue vanished, with a broker node for example, serves again by itself."""
    await rabbit.start("otp", {IssueCode: issue})
    identity = await rabbit.start("identity")
    async with await aio_pika.connect(rabbit.url) as admin:
        channel = await admin.channel()
        await channel.queue_delete(topology.calls_queue("otp"))
    assert await answered(identity) == ISSUED


async def test_an_event_whose_retry_queue_vanished_is_not_lost(rabbit: Rabbit) -> None:
    """A failed event that cannot be put aside is delivered again."""
    heard = Heard(failures=1)
    await rabbit.start("token", events={UserSuspended: heard})
    identity = await rabbit.start("identity")
    async with await aio_pika.connect(rabbit.url) as admin:
        channel = await admin.channel()
        await channel.queue_delete(topology.retry_queue("token", 0.05))
    await identity.publish(told(SUSPENDED))
    first, second = await heard.next(), await heard.next()
    assert first[1].id == second[1].id


async def test_what_waits_in_a_lane_reaches_a_version_without_lanes(rabbitmq_url: str) -> None:
    """After a rollback the old version finds in its own queue what the new one has put aside."""
    held, frames = Held(), [delivery("sms", number) for number in range(1, 7)]
    retry = RetryPolicy(delays=(0.05,), lane_seconds=0.1)
    url, telemetry = broker_url(rabbitmq_url, "otp"), Telemetry("otp")
    otp = RabbitBus(url, "otp", telemetry, SystemClock(), drain_seconds=0.1, event_prefetch=1, retry=retry)
    otp.subscribe({DeliveryRequested: held.delivery})
    async with otp:
        async with asyncio.timeout(5):
            await otp.wait_connected()
        for frame in frames:
            await otp.publish(frame)
    async with asyncio.timeout(10), await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(topology.events_queue("otp"), ensure=False)
        missing = {str(frame.id) for frame in frames}
        async with queue.iterator() as messages:
            async for message in messages:
                await message.ack()
                assert message.headers["attempt"] == 1
                missing.discard(message.message_id or "")
                if not missing:
                    break
        for lane in topology.lanes("otp"):
            await channel.queue_delete(topology.lane_queue("otp", lane, retry.lane_seconds))
    assert held.count >= 1


async def test_a_publisher_that_was_cut_does_not_say_that_the_event_is_safe(rabbit: Rabbit) -> None:
    """Without the broker's confirmation the event stays in the outbox."""
    await rabbit.start("token", events={UserSuspended: Heard()})
    identity = await rabbit.start("identity")
    rabbit.proxies[identity].freeze()
    publishing = asyncio.create_task(identity.publish(told(SUSPENDED)))
    await asyncio.wait({publishing}, timeout=0.1)
    assert not publishing.done()
    rabbit.proxies[identity].cut()
    with pytest.raises(Error) as raised:
        async with asyncio.timeout(1.0):
            await publishing
    assert raised.value.code == ErrorCode.UNAVAILABLE
    rabbit.proxies[identity].thaw()


async def test_a_wrong_password_is_tried_again_and_reported(rabbit: Rabbit) -> None:
    """A user that the broker does not know yet may be created later; until then calls are unavailable."""
    parts = urlsplit(rabbit.url)
    identity = await rabbit._make("identity", 10)
    identity._url = f"amqp://identity:wrong@{parts.hostname}:{parts.port}{parts.path}"  # type: ignore[attr-defined]
    async with identity:
        with pytest.raises(Error) as raised:
            await identity.call(ISSUE)
        assert raised.value.code == ErrorCode.UNAVAILABLE
