"""What a caller can rely on when many call at once, over either transport; RabbitMQ carries such calls in groups."""

import asyncio

import pytest

from shared import context
from shared.bus.messages import Done
from shared.contracts.otp import CheckCode, CodeIssued, IssueCode
from shared.errors import Error, ErrorCode
from tests.contract.bus.transports import Transport
from tests.contract.bus.vehicles import CHECK, ISSUE, NOON, Held, check, issue, send_raw

MANY = 100


async def test_each_of_many_calls_gets_its_own_answer(transport: Transport) -> None:
    """Whoever calls at the same time as others is answered what they asked, errors too."""

    async def judge(call: CheckCode) -> Done:
        if int(call.code) % 3 == 0:
            raise Error(ErrorCode.WRONG_CODE, f"{call.code} is wrong", detail={"code": call.code})
        return Done()

    async def asked(number: int) -> str:
        try:
            await identity.call(CHECK.model_copy(update={"code": str(number)}))
        except Error as error:
            return str(error.detail["code"])
        return "right"

    await transport.start("otp", {CheckCode: judge})
    identity = await transport.start("identity")
    answers = await asyncio.gather(*(asked(number) for number in range(MANY)))
    assert answers == [str(number) if number % 3 == 0 else "right" for number in range(MANY)]


async def test_each_of_many_calls_keeps_its_request_id(transport: Transport) -> None:
    """A request is found in every log under its own id, whoever called at the same time."""
    seen: dict[str, str] = {}

    async def note(call: IssueCode) -> CodeIssued:
        seen[call.account] = context.request_id()
        return await issue(call)

    async def ask(number: int) -> None:
        with context.request(f"request-{number}", 2.0):
            await identity.call(ISSUE.model_copy(update={"account": str(number)}))

    await transport.start("otp", {IssueCode: note})
    identity = await transport.start("identity")
    await asyncio.gather(*(ask(number) for number in range(MANY)))
    assert seen == {str(number): f"request-{number}" for number in range(MANY)}


async def test_each_of_many_calls_keeps_its_deadline(transport: Transport) -> None:
    """One that has little time runs out of it by itself, and the others are answered."""
    held = Held()
    await transport.start("otp", {IssueCode: held.issue})
    identity = await transport.start("identity")

    async def ask(seconds: float) -> CodeIssued:
        with context.request("r", seconds):
            return await identity.call(ISSUE)

    hasty = asyncio.create_task(ask(0.3))
    patient = [asyncio.create_task(ask(3.0)) for _ in range(4)]
    with pytest.raises(Error) as raised:
        await hasty
    assert raised.value.code == ErrorCode.DEADLINE_EXCEEDED
    assert not any(task.done() for task in patient)
    held.gate.set()
    assert await asyncio.gather(*patient) == [CodeIssued(expires_at=NOON)] * 4


async def test_one_that_is_slow_keeps_nobody_waiting(transport: Transport) -> None:
    """Whoever is answered first does not wait for those who called at the same time."""
    held = Held()
    await transport.start("otp", {IssueCode: issue, CheckCode: held.check})
    identity = await transport.start("identity")
    slow = asyncio.create_task(identity.call(CHECK))
    quick = [asyncio.create_task(identity.call(ISSUE)) for _ in range(4)]
    assert await asyncio.gather(*quick) == [CodeIssued(expires_at=NOON)] * 4
    assert not slow.done()
    held.gate.set()
    await slow


async def test_a_poisoned_call_harms_only_itself(transport: Transport) -> None:
    """Beside one that cannot be read, one that crashes its handler and one that nobody knows, all are answered."""

    async def crash(_call: CheckCode) -> Done:
        raise RuntimeError("poison")

    await transport.start("otp", {IssueCode: issue, CheckCode: crash})
    identity = await transport.start("identity")
    good = [asyncio.create_task(identity.call(ISSUE)) for _ in range(3)]
    crashed, unread, forbidden = await asyncio.gather(
        send_raw(identity, CheckCode, CHECK.model_dump_json().encode()),
        send_raw(identity, IssueCode, b'\n{"account":\xff[[[\n'),
        send_raw(identity, IssueCode, b""),
    )
    more = [asyncio.create_task(identity.call(ISSUE)) for _ in range(3)]
    assert Error.from_json(crashed.body).code == ErrorCode.INTERNAL
    assert {Error.from_json(reply.body).code for reply in (unread, forbidden)} == {ErrorCode.INVALID_REQUEST}
    assert await asyncio.gather(*good, *more) == [CodeIssued(expires_at=NOON)] * 6


async def test_callers_that_give_up_harm_nobody_else(transport: Transport) -> None:
    """Half of those who called at the same time go away before the answer; the other half get theirs."""
    held = Held()
    await transport.start("otp", {IssueCode: held.issue})
    identity = await transport.start("identity")
    calls = [asyncio.create_task(identity.call(ISSUE)) for _ in range(8)]
    for _ in calls:
        await held.begun.acquire()
    for call in calls[::2]:
        call.cancel()
    held.gate.set()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(answer, asyncio.CancelledError) for answer in answers] == [True, False] * 4
    assert answers[1::2] == [CodeIssued(expires_at=NOON)] * 4


async def test_a_replica_dies_with_many_calls_in_hand(transport: Transport) -> None:
    """Those that may be repeated are answered by another replica, the others come back, done once."""
    dying, other = Held(), Held()
    other.gate.set()
    first = await transport.start("otp", {IssueCode: dying.issue, CheckCode: dying.check})
    identity = await transport.start("identity")
    issuing = [asyncio.create_task(identity.call(ISSUE)) for _ in range(5)]
    checking = [asyncio.create_task(identity.call(CHECK)) for _ in range(5)]
    for _ in (*issuing, *checking):
        await dying.begun.acquire()
    checked = Held()
    checked.gate.set()
    await transport.start("otp", {IssueCode: other.issue, CheckCode: checked.check})
    await transport.kill(first)
    assert await asyncio.gather(*issuing) == [CodeIssued(expires_at=NOON)] * 5
    refused = await asyncio.gather(*checking, return_exceptions=True)
    assert [error.code if isinstance(error, Error) else error for error in refused] == [ErrorCode.UNAVAILABLE] * 5
    assert (other.count, checked.count) == (5, 0)


async def test_a_leaving_replica_answers_the_many_it_has_in_hand(transport: Transport) -> None:
    """A rolling update loses none of the calls that came together, not even from the only replica."""
    held = Held()
    otp = await transport.start("otp", {IssueCode: held.issue, CheckCode: check})
    identity = await transport.start("identity")
    calls = [asyncio.create_task(identity.call(ISSUE)) for _ in range(5)]
    for _ in calls:
        await held.begun.acquire()
    leaving = asyncio.create_task(transport.stop(otp))
    await asyncio.wait(calls, timeout=0.7)  # longer than a caller takes to ask whether anybody serves it any more
    assert not any(call.done() for call in calls)
    held.gate.set()
    assert await asyncio.gather(*calls) == [CodeIssued(expires_at=NOON)] * 5
    await leaving
