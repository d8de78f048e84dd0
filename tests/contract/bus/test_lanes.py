"""Events of one lane hold up none of another, over either transport, and waiting for their turn costs them nothing."""

import asyncio
from collections import Counter

from shared.bus.dispatch import Delivery
from shared.contracts.otp import DeliveryRequested
from tests.contract.bus.transports import Transport
from tests.contract.bus.vehicles import Heard, delivery

AT_ONCE = 2
BURST = 60
"""Many times what is worked on at once, in all lanes together."""


class Provider:
    """A handler that hangs in one lane until it is let go, and hears all that pass."""

    def __init__(self) -> None:
        self.heard = Heard()
        self.gate = asyncio.Event()
        self.under_way = 0

    async def __call__(self, event: DeliveryRequested, delivery: Delivery) -> None:
        """Let mail pass; what goes by SMS waits at the gate."""
        if event.channel == "sms":
            self.under_way += 1
            await self.gate.wait()
            self.under_way -= 1
        await self.heard(event, delivery)


async def test_a_lane_that_hangs_holds_up_no_other(transport: Transport) -> None:
    """However many events wait in one lane, one of another is handled at once."""
    provider = Provider()
    otp = await transport.start("otp", events={DeliveryRequested: provider}, event_prefetch=AT_ONCE)
    for number in range(1, BURST + 1):
        await otp.publish(delivery("sms", number))
    mail = delivery("email", BURST + 1)
    await otp.publish(mail)
    assert (await provider.heard.next())[1].id == mail.id
    assert provider.heard.deliveries.empty()
    provider.gate.set()


async def test_waiting_for_a_place_is_no_attempt(transport: Transport) -> None:
    """All of a burst in a lane are handled, each once and as its first attempt, however long they had to wait."""
    provider = Provider()
    otp = await transport.start("otp", events={DeliveryRequested: provider}, event_prefetch=AT_ONCE)
    frames = [delivery("sms", number) for number in range(1, BURST + 1)]
    for frame in frames:
        await otp.publish(frame)
    provider.gate.set()
    deliveries = [(await provider.heard.next())[1] for _ in frames]
    assert Counter(d.id for d in deliveries) == Counter(frame.id for frame in frames)
    assert {d.attempt for d in deliveries} == {1}
    assert provider.heard.deliveries.empty()


async def test_what_waits_in_a_lane_outlives_its_replica(transport: Transport) -> None:
    """When a replica dies, what it held and what waited behind that comes to the next one."""
    provider, heard = Provider(), Heard()
    dying = await transport.start("otp", events={DeliveryRequested: provider}, event_prefetch=AT_ONCE)
    missing = set()
    for number in range(1, BURST + 1):
        frame = delivery("sms", number)
        await dying.publish(frame)
        missing.add(frame.id)
    await transport.kill(dying)
    await transport.start("otp", events={DeliveryRequested: heard}, event_prefetch=AT_ONCE)
    while missing:
        missing.discard((await heard.next())[1].id)
    provider.gate.set()
