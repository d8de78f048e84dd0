"""What a subscriber can rely on, over either transport."""

import asyncio

import pytest
import structlog

from shared.contracts.identity import UserCreated, UserSuspended
from shared.contracts.otp import DeliveryRequested
from shared.errors import Error, ErrorCode
from tests.contract.bus.transports import RETRY, Transport
from tests.contract.bus.vehicles import NOON, SUSPENDED, Heard, Held, told


async def test_an_event_is_delivered_with_its_id_and_attempt(transport: Transport) -> None:
    """The subscriber gets the event as it was told, the first time as attempt 1."""
    heard = Heard()
    await transport.start("token", events={UserSuspended: heard})
    identity = await transport.start("identity")
    frame = told(SUSPENDED)
    await identity.publish(frame)
    event, delivery = await heard.next()
    assert event == SUSPENDED
    assert (delivery.id, delivery.attempt) == (frame.id, 1)


async def test_a_component_hears_its_own_event(transport: Transport) -> None:
    """A service may queue work for its own replicas."""
    heard = Heard()
    otp = await transport.start("otp", events={DeliveryRequested: heard})
    event = DeliveryRequested(
        code_id=told(SUSPENDED).id, purpose="sign_in", channel="sms", address="+1", expires_at=NOON
    )
    await otp.publish(told(event))
    assert (await heard.next())[0] == event


async def test_a_failed_event_comes_back_with_the_same_id_until_it_is_handled(transport: Transport) -> None:
    """A passing fault of the subscriber loses no event and repeats none that was handled."""
    heard = Heard(failures=2)
    await transport.start("token", events={UserSuspended: heard})
    identity = await transport.start("identity")
    frame = told(SUSPENDED)
    started = asyncio.get_running_loop().time()
    await identity.publish(frame)
    deliveries = [(await heard.next())[1] for _ in range(3)]
    assert [d.attempt for d in deliveries] == [1, 2, 3]
    assert {d.id for d in deliveries} == {frame.id}
    assert asyncio.get_running_loop().time() - started >= 2 * RETRY.delays[0]
    await identity.publish(told(SUSPENDED, 2))
    assert (await heard.next())[1].attempt == 1
    assert heard.deliveries.empty()


async def test_an_event_that_always_fails_is_parked_with_its_reason(transport: Transport) -> None:
    """After the last attempt the event waits for an operator, who can read why."""
    heard = Heard(failures=99)
    await transport.start("token", events={UserSuspended: heard})
    identity = await transport.start("identity")
    frame = told(SUSPENDED)
    await identity.publish(frame)
    parked = await transport.parked("token")
    assert (parked.id, parked.subject) == (frame.id, "identity.user_suspended.v1")
    assert "the store is away" in parked.reason
    assert heard.deliveries.qsize() == RETRY.max_attempts


async def test_an_event_that_cannot_be_read_is_parked_without_its_values(transport: Transport) -> None:
    """A malformed event does not stop the others, and its reason quotes nothing from it."""
    heard = Heard()
    with structlog.testing.capture_logs() as lines:
        await transport.start("token", events={UserSuspended: heard})
        identity = await transport.start("identity")
        frame = told(SUSPENDED)
        broken = type(frame)(frame.id, frame.subject, b'{"user_id":"hunter2"}', "r")
        await identity.publish(broken)
        parked = await transport.parked("token")
    assert "user_id" in parked.reason
    assert "hunter2" not in f"{parked} {lines}"
    assert heard.deliveries.empty()


async def test_an_event_is_not_taken_before_its_subscriber_ever_was_there(transport: Transport) -> None:
    """Publishing says `unavailable`, so that the outbox keeps the event; later it passes."""
    identity = await transport.start("identity")
    with pytest.raises(Error) as raised:
        await identity.publish(told(SUSPENDED))
    assert raised.value.code == ErrorCode.UNAVAILABLE
    heard = Heard()
    await transport.start("token", events={UserSuspended: heard})
    await identity.publish(told(SUSPENDED))
    await heard.next()


async def test_an_event_that_nobody_must_hear_may_fall_to_the_ground(transport: Transport) -> None:
    """Publishing an event without subscribers succeeds."""
    identity = await transport.start("identity")
    await identity.publish(told(UserCreated(user_id=SUSPENDED.user_id, created_at=NOON)))


async def test_an_event_of_another_version_is_not_taken(transport: Transport) -> None:
    """Who may hear an event that only a newer version knows is not known here: the outbox keeps it, others pass."""
    heard = Heard()
    await transport.start("token", events={UserSuspended: heard})
    identity = await transport.start("identity")
    with pytest.raises(Error) as raised:
        await identity.publish(told(SUSPENDED)._replace(subject="identity.user_renamed.v1"))
    assert raised.value.code == ErrorCode.UNAVAILABLE
    assert identity.connected
    await identity.publish(told(SUSPENDED))
    assert (await heard.next())[1].id == told(SUSPENDED).id


async def test_an_event_waits_for_a_subscriber_that_is_away(transport: Transport) -> None:
    """What is told while no replica runs is heard by the next one."""
    token = await transport.start("token", events={UserSuspended: Heard()})
    identity = await transport.start("identity")
    await transport.stop(token)
    await identity.publish(told(SUSPENDED))
    heard = Heard()
    await transport.start("token", events={UserSuspended: heard})
    assert (await heard.next())[1].id == told(SUSPENDED).id


@pytest.mark.parametrize("replaced", ["before", "after"])
async def test_an_event_is_delivered_again_when_its_subscriber_dies(transport: Transport, replaced: str) -> None:
    """An event that was begun and not finished comes to the next replica under the same id."""
    held, heard = Held(), Heard()
    dying = await transport.start("token", events={UserSuspended: held.suspended})
    identity = await transport.start("identity")
    frame = told(SUSPENDED)
    await identity.publish(frame)
    await held.begun.acquire()
    if replaced == "before":
        await transport.start("token", events={UserSuspended: heard})
    await transport.kill(dying)
    if replaced == "after":
        await transport.start("token", events={UserSuspended: heard})
    assert (await heard.next())[1].id == frame.id
    held.gate.set()


async def test_a_leaving_subscriber_finishes_the_event_in_hand(transport: Transport) -> None:
    """An update of a subscriber repeats no event."""
    held, heard = Held(), Heard()
    token = await transport.start("token", events={UserSuspended: held.suspended})
    identity = await transport.start("identity")
    await identity.publish(told(SUSPENDED))
    await held.begun.acquire()
    leaving = asyncio.create_task(transport.stop(token))
    await asyncio.wait({leaving}, timeout=0.1)
    assert not leaving.done()
    held.gate.set()
    await leaving
    await transport.start("token", events={UserSuspended: heard})
    await identity.publish(told(SUSPENDED, 2))
    assert (await heard.next())[1].id == told(SUSPENDED, 2).id
