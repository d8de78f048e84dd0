"""What a caller can rely on, over either transport."""

import asyncio
from contextlib import suppress

import pytest
import structlog

from shared import context
from shared.bus.messages import Done
from shared.contracts.identity import Authenticate, Authentication, CodeSent, SendCode
from shared.contracts.otp import CheckCode, CodeIssued, IssueCode
from shared.contracts.token import GetKeys, GrantPassword, KeySet, TokenSet
from shared.errors import Error, ErrorCode
from tests.contract.bus.transports import Transport
from tests.contract.bus.vehicles import CHECK, ISSUE, NOON, Held, check, issue, send_raw


async def test_a_call_is_answered_with_its_typed_reply(transport: Transport) -> None:
    """The caller gets the reply object that the owner returned."""
    await transport.start("otp", {IssueCode: issue})
    identity = await transport.start("identity")
    assert await identity.call(ISSUE) == CodeIssued(expires_at=NOON)


async def test_an_error_crosses_intact(transport: Transport) -> None:
    """Code, message, retry_after and detail arrive as the owner raised them."""

    async def refuse(_call: CheckCode) -> Done:
        raise Error(ErrorCode.TOO_MANY_ATTEMPTS, "too many", retry_after=7.5, detail={"left": 0, "of": ["a", None]})

    await transport.start("otp", {CheckCode: refuse})
    identity = await transport.start("identity")
    with pytest.raises(Error) as raised:
        await identity.call(CHECK)
    error = raised.value
    assert (error.code, error.message, error.retry_after) == (ErrorCode.TOO_MANY_ATTEMPTS, "too many", 7.5)
    assert error.detail == {"left": 0, "of": ["a", None]}


async def test_an_error_that_cannot_be_written_down_is_still_told(transport: Transport) -> None:
    """An error whose detail is no JSON reaches the caller as `internal` instead of never."""

    async def refuse(_call: CheckCode) -> Done:
        raise Error(ErrorCode.CONFLICT, "odd", detail={"what": object()})

    await transport.start("otp", {CheckCode: refuse})
    identity = await transport.start("identity")
    with pytest.raises(Error) as raised:
        await identity.call(CHECK)
    assert raised.value.code == ErrorCode.INTERNAL


async def test_an_unknown_exception_becomes_internal_and_its_text_stays_at_home(transport: Transport) -> None:
    """The caller learns which request failed and nothing of why."""

    async def crash(_call: CheckCode) -> Done:
        raise RuntimeError("password=hunter2")

    await transport.start("otp", {CheckCode: crash})
    identity = await transport.start("identity")
    with context.request("req-7", 2.0), pytest.raises(Error) as raised:
        await identity.call(CHECK)
    assert raised.value.code == ErrorCode.INTERNAL
    assert "req-7" in raised.value.message
    assert "hunter2" not in raised.value.to_json().decode()


async def test_replies_of_any_size(transport: Transport) -> None:
    """A reply arrives whole, also one that is as long as a frame of the broker's protocol, a little more, or a lot."""
    frame, around = 131_072, len(KeySet(keys=[{"x": ""}]).model_dump_json())
    sizes = iter(wanted := [around, *range(frame - 12, frame + 4), 10 * frame])

    async def answer(_call: GetKeys) -> KeySet:
        return KeySet(keys=[{"x": "a" * (next(sizes) - around)}])

    await transport.start("token", {GetKeys: answer})
    gateway = await transport.start("gateway")
    assert [len((await gateway.call(GetKeys())).model_dump_json()) for _ in wanted] == wanted


async def test_the_request_id_crosses(transport: Transport) -> None:
    """The owner works under the id of the request at whose edge the call began."""
    seen: list[str] = []

    async def note(call: IssueCode) -> CodeIssued:
        seen.append(context.request_id())
        return await issue(call)

    await transport.start("otp", {IssueCode: note})
    identity = await transport.start("identity")
    with context.request("req-42", 2.0):
        await identity.call(ISSUE)
    assert seen == ["req-42"]


async def test_the_deadline_shrinks_at_each_hop_and_the_error_names_who_ran_out(transport: Transport) -> None:
    """The last service of a chain runs out first, and says so through all the others."""
    left: list[float] = []

    async def wait(_call: Authenticate) -> Authentication:
        left.append(context.remaining() or 0)
        await asyncio.Event().wait()
        raise AssertionError

    await transport.start("identity", {Authenticate: wait})

    async def grant(_call: GrantPassword) -> TokenSet:
        left.append(context.remaining() or 0)
        await token.call(Authenticate.model_validate({"identifier": "a", "secret": "b"}))
        raise AssertionError

    token = await transport.start("token", {GrantPassword: grant})
    gateway = await transport.start("gateway")
    with context.request("r", 0.4), pytest.raises(Error) as raised:
        await gateway.call(GrantPassword())
    assert raised.value.code == ErrorCode.DEADLINE_EXCEEDED
    assert raised.value.message == "identity ran out of time in identity.authenticate.v1"
    assert 0.4 > left[0] > left[1] > 0


async def test_a_call_that_nobody_answers_fails_while_its_caller_can_act_on_that(transport: Transport) -> None:
    """A handler hears that its own call came to nothing, as an error, before its own time is over."""
    gate, heard = asyncio.Event(), asyncio.Queue[str]()

    async def deaf(call: IssueCode) -> CodeIssued:
        while not gate.is_set():
            with suppress(asyncio.CancelledError):
                await gate.wait()
        return await issue(call)

    async def send(_call: SendCode) -> CodeSent:
        try:
            await identity.call(ISSUE)
        except Error as error:
            heard.put_nowait(error.code)
            raise
        except asyncio.CancelledError:
            heard.put_nowait("cancelled")
            raise
        raise AssertionError

    await transport.start("otp", {IssueCode: deaf})
    identity = await transport.start("identity", {SendCode: send})
    gateway = await transport.start("gateway")
    try:
        with context.request("r", 0.3), pytest.raises(Error) as raised:
            await gateway.call(SendCode(email="a@example.com"))
        assert raised.value.code == ErrorCode.DEADLINE_EXCEEDED
        async with asyncio.timeout(5):
            assert await heard.get() == ErrorCode.DEADLINE_EXCEEDED
    finally:
        gate.set()


async def test_a_call_without_time_left_is_not_even_sent(transport: Transport) -> None:
    """A request that has no time any more costs its services nothing."""
    held = Held()
    await transport.start("otp", {IssueCode: held.issue})
    identity = await transport.start("identity")
    with context.request("r", 0.01), pytest.raises(Error) as raised:
        await identity.call(ISSUE)
    assert raised.value.code == ErrorCode.DEADLINE_EXCEEDED
    assert "identity had no time left" in raised.value.message
    assert held.count == 0


async def test_a_call_that_nobody_serves_is_unavailable_at_once(transport: Transport) -> None:
    """The caller does not wait for its deadline to learn that there is no replica."""
    identity = await transport.start("identity")
    started = asyncio.get_running_loop().time()
    with pytest.raises(Error) as raised:
        await identity.call(ISSUE)
    assert raised.value.code == ErrorCode.UNAVAILABLE
    assert raised.value.retry_after is not None
    assert asyncio.get_running_loop().time() - started < 0.2


async def test_a_component_that_has_just_started_is_called(transport: Transport) -> None:
    """A caller that was there first reaches a service as soon as that is up."""
    identity = await transport.start("identity")
    with pytest.raises(Error):
        await identity.call(ISSUE)
    await transport.start("otp", {IssueCode: issue})
    assert await identity.call(ISSUE) == CodeIssued(expires_at=NOON)


async def test_a_component_that_the_contract_does_not_name_may_not_call(transport: Transport) -> None:
    """The caller itself refuses, before anything is sent."""
    await transport.start("otp", {IssueCode: issue})
    gateway = await transport.start("gateway")
    with pytest.raises(Error) as raised:
        await gateway.call(ISSUE)
    assert raised.value.code == ErrorCode.FORBIDDEN


async def test_the_owner_refuses_a_caller_that_the_contract_does_not_name(transport: Transport) -> None:
    """A caller that does not check itself is refused by the owner."""
    await transport.start("otp", {IssueCode: issue})
    identity = await transport.start("identity")
    reply = await send_raw(identity, IssueCode, ISSUE.model_dump_json().encode(), caller="gateway")
    assert not reply.ok
    assert Error.from_json(reply.body).code == ErrorCode.FORBIDDEN


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"not json", [""]),
        (b"\xff\xfe", [""]),
        (b"[]", [""]),
        (b'{"account":"a","purpose":"hunter2","code":"123456"}', ["purpose"]),
        (b'{"account":"hunter2"}', ["code", "purpose"]),
    ],
    ids=["no JSON", "no text", "no object", "a wrong value", "missing fields"],
)
async def test_a_malformed_call_names_its_fields_and_no_value(
    transport: Transport, body: bytes, fields: list[str]
) -> None:
    """The error says which fields are wrong, without what was in them."""
    await transport.start("otp", {CheckCode: check})
    identity = await transport.start("identity")
    reply = await send_raw(identity, CheckCode, body)
    error = Error.from_json(reply.body)
    assert error.code == ErrorCode.INVALID_REQUEST
    assert error.detail == {"fields": fields}
    assert b"hunter2" not in reply.body


async def test_unknown_fields_are_ignored(transport: Transport) -> None:
    """A newer caller may send what this version does not know."""
    await transport.start("otp", {CheckCode: check})
    identity = await transport.start("identity")
    body = b'{"account":"a","purpose":"sign_in","code":"1","since_v1_7":{"deep":[1]}}'
    assert (await send_raw(identity, CheckCode, body)).ok


async def test_a_malformed_reply_is_internal(transport: Transport) -> None:
    """A reply that cannot be read is an error of the bus, not a crash of the caller."""

    async def answer_something_else(_call: IssueCode) -> KeySet:
        return KeySet(keys=[{"hunter2": 1}])

    await transport.start("otp", {IssueCode: answer_something_else})
    identity = await transport.start("identity")
    with pytest.raises(Error) as raised:
        await identity.call(ISSUE)
    assert raised.value.code == ErrorCode.INTERNAL
    assert "hunter2" not in raised.value.message
    assert identity._telemetry.registry.get_sample_value(
        "dragoman_bus_calls_total", {"subject": "otp.issue_code.v1", "code": "internal"}
    )


async def test_two_replicas_share_the_work(transport: Transport) -> None:
    """Neither of two replicas stays idle."""
    one, other = Held(), Held()
    one.gate.set()
    other.gate.set()
    await transport.start("otp", {IssueCode: one.issue})
    await transport.start("otp", {IssueCode: other.issue})
    identity = await transport.start("identity")
    for _ in range(10):  # one after the other, since calls of one moment may travel to one replica together
        await identity.call(ISSUE)
    assert one.count > 0
    assert other.count > 0
    assert one.count + other.count == 10


async def test_too_many_waiting_calls_are_overload(transport: Transport) -> None:
    """A call too many is refused at once, and room is made by the answers."""
    held = Held()
    await transport.start("otp", {IssueCode: held.issue})
    identity = await transport.start("identity", max_pending=2)
    waiting = [asyncio.create_task(identity.call(ISSUE)) for _ in range(2)]
    for _ in waiting:
        await held.begun.acquire()
    with pytest.raises(Error) as raised:
        await identity.call(ISSUE)
    assert raised.value.code == ErrorCode.OVERLOADED
    assert raised.value.retry_after is not None
    held.gate.set()
    await asyncio.gather(*waiting)
    await identity.call(ISSUE)


async def test_no_log_line_and_no_repr_shows_a_secret(transport: Transport) -> None:
    """Passwords and codes are seen by the handler alone."""
    seen: list[str] = []

    async def fail(call: Authenticate) -> Authentication:
        seen.append(call.secret.get_secret_value())
        raise ValueError(f"cannot handle {call!r}")

    call = Authenticate.model_validate({"identifier": "a", "secret": "hunter2"})
    with structlog.testing.capture_logs() as lines:
        await transport.start("identity", {Authenticate: fail})
        token = await transport.start("token")
        with pytest.raises(Error):
            await token.call(call)
        malformed = b'{"secret":"hunter2","identifier":["hunter2"]}'
        await send_raw(token, Authenticate, malformed)
    assert seen == ["hunter2"]
    assert any(line["event"] == "call" for line in lines)
    assert "hunter2" not in f"{call!r} {call} {lines}"


async def test_an_optional_field_may_be_left_out(transport: Transport) -> None:
    """What has a default need not be sent; a rule of the whole message still holds."""
    gateway = await transport.start("gateway")

    async def keys(_call: GetKeys) -> KeySet:
        return KeySet(keys=[])

    await transport.start("token", {GetKeys: keys})
    assert (await send_raw(gateway, GetKeys, b"{}")).ok

    async def never(_call: SendCode) -> CodeSent:
        raise AssertionError

    await transport.start("identity", {SendCode: never})
    reply = await send_raw(gateway, SendCode, b"{}")
    assert Error.from_json(reply.body).code == ErrorCode.INVALID_REQUEST
