"""What becomes of a trace on the bus, over either transport."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from shared import context
from shared.bus.bus import Bus
from shared.bus.messages import Done
from shared.contracts.identity import Authenticate, Authentication, UserSuspended
from shared.contracts.otp import CheckCode, CodeIssued, IssueCode
from shared.contracts.token import GrantPassword, TokenSet
from shared.errors import Error, ErrorCode
from shared.telemetry.otlp import OtlpTracing
from tests.contract.bus.transports import Transport
from tests.contract.bus.vehicles import CHECK, ISSUE, SUSPENDED, Heard, issue, told
from tests.support.collector import Collected, Collector, collector

MANY = 50
OUTSIDE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Traced:
    """Has components traced, and shows what they recorded."""

    def __init__(self, collected: Collector) -> None:
        self._collector = collected
        self._tracings: list[OtlpTracing] = []

    def trace(self, *buses: Bus) -> None:
        """Have these traced."""
        for bus in buses:
            tracing = OtlpTracing(bus._telemetry, self._collector.url, 1.0)
            bus._telemetry.tracing = tracing
            self._tracings.append(tracing)

    def spans(self) -> list[Collected]:
        """What was recorded until now; nothing is afterwards."""
        for tracing in self._tracings:
            tracing.close()
        return self._collector.spans


@pytest.fixture
def traced() -> Iterator[Traced]:
    """A collector, and those who send to it."""
    with ExitStack() as stack:
        made = Traced(stack.enter_context(collector()))
        stack.callback(made.spans)
        yield made


def request_at(bus: Bus, traceparent: str = OUTSIDE) -> ExitStack:
    """What the gateway does around a request, here for any component."""
    stack = ExitStack()
    stack.enter_context(context.request("request-1", 3.0))
    stack.enter_context(bus._telemetry.tracing.serving("POST", {"traceparent": traceparent}, lambda: True))
    return stack


def chain(spans: list[Collected], last: Collected) -> list[str]:
    """The span and all above it, as `<component> <kind>`."""
    by_id = {span.id: span for span in spans}
    found = []
    while True:
        found.append(f"{last.service} {last.kind}")
        if last.parent not in by_id:
            return found
        last = by_id[last.parent]


async def test_a_call_is_two_spans_of_the_trace_that_it_was_made_in(transport: Transport, traced: Traced) -> None:
    """The request, the call as its caller saw it and the call as its owner saw it stand one below the other."""
    otp = await transport.start("otp", {IssueCode: issue})
    identity = await transport.start("identity")
    traced.trace(otp, identity)
    with request_at(identity):
        await identity.call(ISSUE)
    spans = traced.spans()
    (answered,) = [span for span in spans if span.service == "otp"]
    assert chain(spans, answered) == ["otp server", "identity client", "identity server"]
    assert {span.trace for span in spans} == {OUTSIDE[3:35]}
    assert answered.name == "otp.issue_code.v1"
    assert answered.attributes == {
        "rpc.system.name": "dragoman",
        "rpc.method": "otp.issue_code.v1",
        "rpc.response.status_code": "ok",
    }


async def test_each_of_many_calls_keeps_its_trace(transport: Transport, traced: Traced) -> None:
    """Calls that travel together in one message stay each in its own trace, beside one that is in none."""
    seen: dict[str, str] = {}

    async def note(call: IssueCode) -> CodeIssued:
        seen[call.account] = context.trace_id()
        return await issue(call)

    async def ask(number: int) -> None:
        with request_at(identity, f"00-{number:032x}-b7ad6b7169203331-01"):
            await identity.call(ISSUE.model_copy(update={"account": str(number)}))

    otp = await transport.start("otp", {IssueCode: note})
    identity = await transport.start("identity")
    traced.trace(otp, identity)
    untraced = identity.call(ISSUE.model_copy(update={"account": "none"}))
    await asyncio.gather(untraced, *(ask(number) for number in range(1, MANY)))
    assert seen == {"none": ""} | {str(number): f"{number:032x}" for number in range(1, MANY)}
    spans = traced.spans()
    assert len(spans) == 3 * (MANY - 1)
    for span in spans:
        if span.service == "otp":
            assert chain(spans, span) == ["otp server", "identity client", "identity server"]
            (parent,) = [other for other in spans if other.id == span.parent]
            assert parent.trace == span.trace


async def test_a_trace_crosses_a_component_that_records_none(transport: Transport, traced: Traced) -> None:
    """Where only some components are traced, theirs are still one trace."""

    async def grant(_call: GrantPassword) -> TokenSet:
        await token.call(Authenticate.model_validate({"identifier": "a", "secret": "b"}))
        raise AssertionError

    async def refuse(_call: Authenticate) -> Authentication:
        raise Error(ErrorCode.WRONG_PASSWORD, "the password is wrong")

    identity = await transport.start("identity", {Authenticate: refuse})
    token = await transport.start("token", {GrantPassword: grant})
    gateway = await transport.start("gateway")
    traced.trace(identity, gateway)
    with request_at(gateway), pytest.raises(Error):
        await gateway.call(GrantPassword())
    spans = traced.spans()
    (answered,) = [span for span in spans if span.service == "identity"]
    assert chain(spans, answered) == ["identity server", "gateway client", "gateway server"]


async def test_work_that_is_in_no_trace_begins_none(transport: Transport, traced: Traced) -> None:
    """What a component asks again and again by itself is not recorded, nor what a caller leaves unrecorded."""
    otp = await transport.start("otp", {IssueCode: issue})
    identity = await transport.start("identity")
    traced.trace(otp, identity)
    await identity.call(ISSUE)
    with request_at(identity, OUTSIDE.removesuffix("01") + "00"):
        await identity.call(ISSUE)
    assert traced.spans() == []


@pytest.mark.parametrize(
    ("error", "failed"),
    [
        (Error(ErrorCode.WRONG_CODE, "hunter2"), False),
        (Error(ErrorCode.UNAVAILABLE, "hunter2"), True),
        (RuntimeError("hunter2"), True),
    ],
    ids=["an answer", "a fault that is told", "a crash"],
)
async def test_a_span_tells_what_came_of_a_call_and_not_in_which_words(
    transport: Transport, traced: Traced, error: Exception, failed: bool
) -> None:
    """Somebody's fault is marked as one on both sides; an error's text, which may quote what was sent, stays out."""

    async def refuse(_call: CheckCode) -> Done:
        raise error

    otp = await transport.start("otp", {CheckCode: refuse})
    identity = await transport.start("identity")
    traced.trace(otp, identity)
    with request_at(identity), pytest.raises(Error) as raised:
        await identity.call(CHECK)
    calls = [span for span in traced.spans() if span.name == "otp.check_code.v1"]
    assert [span.failed for span in calls] == [failed, failed]
    assert {span.attributes["rpc.response.status_code"] for span in calls} == {raised.value.code}
    assert {span.attributes.get("error.type") for span in calls} == {raised.value.code if failed else None}
    assert b"hunter2" not in traced._collector.raw
    assert b"123456" not in traced._collector.raw


async def test_an_event_belongs_to_the_trace_of_the_change_at_each_attempt(
    transport: Transport, traced: Traced
) -> None:
    """What a change set in motion stands in its trace, also when it has to be tried again."""
    heard = Heard(failures=1)
    token = await transport.start("token", events={UserSuspended: heard})
    identity = await transport.start("identity")
    traced.trace(token)
    await identity.publish(told(SUSPENDED)._replace(traceparent=OUTSIDE))
    await heard.next()
    await heard.next()
    await transport.stop(token)
    first, second = sorted(traced.spans(), key=lambda span: int(span.attributes["dragoman.attempt"]))
    assert (first.failed, second.failed) == (True, False)
    for span in (first, second):
        assert (span.trace, span.parent) == (OUTSIDE[3:35], OUTSIDE[36:52])
        assert (span.name, span.kind) == ("process identity.user_suspended.v1", "consumer")


@pytest.mark.parametrize(
    "odd", ["x", "x" * 55, "00-" + "0" * 32 + "-b7ad6b7169203331-01"], ids=["short", "long", "zero"]
)
async def test_an_odd_trace_disturbs_no_call(transport: Transport, traced: Traced, odd: str) -> None:
    """Whatever stands where a trace should, the call is answered, and belongs to none."""
    otp = await transport.start("otp", {IssueCode: issue})
    identity = await transport.start("identity")
    traced.trace(otp)
    token = context.enter_trace(odd)
    try:
        await asyncio.gather(identity.call(ISSUE), identity.call(ISSUE))
        await identity.call(ISSUE)
    finally:
        context.leave_trace(token)
    assert traced.spans() == []
