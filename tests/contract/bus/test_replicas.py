"""What becomes of calls when replicas die or leave, over either transport."""

import asyncio

import pytest

from shared.contracts.otp import CheckCode, CodeIssued, IssueCode
from shared.errors import Error, ErrorCode
from tests.contract.bus.transports import Transport
from tests.contract.bus.vehicles import CHECK, ISSUE, NOON, Held, issue


async def test_the_last_replica_dies_while_a_call_waits(transport: Transport) -> None:
    """The caller learns it within a second, not from its deadline."""
    held = Held()
    otp = await transport.start("otp", {IssueCode: held.issue})
    identity = await transport.start("identity")
    waiting = asyncio.create_task(identity.call(ISSUE))
    await held.begun.acquire()
    await transport.kill(otp)
    with pytest.raises(Error) as raised:
        async with asyncio.timeout(1.0):
            await waiting
    assert raised.value.code == ErrorCode.UNAVAILABLE


async def test_another_replica_takes_over_an_idempotent_call(transport: Transport) -> None:
    """A call that harms nothing when repeated is answered although its replica died."""
    held = Held()
    dying = await transport.start("otp", {IssueCode: held.issue})
    identity = await transport.start("identity")
    waiting = asyncio.create_task(identity.call(ISSUE))
    await held.begun.acquire()
    await transport.start("otp", {IssueCode: issue})
    await transport.kill(dying)
    assert await waiting == CodeIssued(expires_at=NOON)


async def test_a_call_that_must_not_be_repeated_is_not(transport: Transport) -> None:
    """A call that was begun by a replica that died is unavailable and was executed once."""
    begun, other = Held(), Held()
    dying = await transport.start("otp", {CheckCode: begun.check})
    identity = await transport.start("identity")
    waiting = asyncio.create_task(identity.call(CHECK))
    await begun.begun.acquire()
    await transport.start("otp", {CheckCode: other.check})
    await transport.kill(dying)
    with pytest.raises(Error) as raised:
        await waiting
    assert raised.value.code == ErrorCode.UNAVAILABLE
    assert (begun.count, other.count) == (1, 0)


async def test_a_leaving_replica_finishes_what_it_began_and_takes_no_more(transport: Transport) -> None:
    """A rolling update loses no call, not even a slow one of the only replica."""
    held = Held()
    otp = await transport.start("otp", {IssueCode: held.issue})
    identity = await transport.start("identity")
    slow = asyncio.create_task(identity.call(ISSUE))
    await held.begun.acquire()
    leaving = asyncio.create_task(transport.stop(otp))
    late = asyncio.create_task(identity.call(ISSUE))
    while await _is_begun(held, late):  # the broker does not know yet that it left
        late = asyncio.create_task(identity.call(ISSUE))
    with pytest.raises(Error) as raised:
        await late
    assert raised.value.code == ErrorCode.UNAVAILABLE
    # Longer than a caller takes to ask whether anybody serves it any more.
    await asyncio.wait({slow}, timeout=0.7)
    assert not slow.done()
    held.gate.set()
    assert await slow == CodeIssued(expires_at=NOON)
    await leaving


async def test_the_next_replica_serves_while_the_former_leaves(transport: Transport) -> None:
    """New calls go to the replica that stays."""
    held = Held()
    leaving = await transport.start("otp", {IssueCode: held.issue})
    identity = await transport.start("identity")
    slow = asyncio.create_task(identity.call(ISSUE))
    await held.begun.acquire()
    await transport.start("otp", {IssueCode: issue})
    stopping = asyncio.create_task(transport.stop(leaving))
    calls = [asyncio.create_task(identity.call(ISSUE)) for _ in range(4)]
    while await _is_begun(held, calls[-1]):  # it was dealt to the leaving one before that had left
        calls.append(asyncio.create_task(identity.call(ISSUE)))
    held.gate.set()
    assert await asyncio.gather(slow, *calls) == [CodeIssued(expires_at=NOON)] * (len(calls) + 1)
    await stopping


async def _is_begun(held: Held, call: "asyncio.Task[CodeIssued]") -> bool:
    """Whether `call` reached `held`, rather than being answered or refused."""
    begun = asyncio.create_task(held.begun.acquire())
    await asyncio.wait({call, begun}, return_when=asyncio.FIRST_COMPLETED)
    begun.cancel()
    return not call.done()
