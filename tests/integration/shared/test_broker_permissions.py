"""The broker's permissions say the same as the contracts: each component with its own user."""

import asyncio

import aio_pika
import pytest
from aio_pika.exceptions import AMQPError
from aiormq.exceptions import ChannelAccessRefused

from shared.bus import permissions, topology
from shared.bus.messages import CALLS, Call
from shared.bus.rabbit_client import REPLY_TO
from shared.contracts.identity import UserSuspended
from shared.contracts.otp import CodeIssued, IssueCode
from shared.errors import Error, ErrorCode
from tests.conftest import broker_url
from tests.contract.bus.transports import Rabbit
from tests.contract.bus.vehicles import ISSUE, NOON, Heard, Held, send_raw


async def _refuse(_call: Call[CodeIssued]) -> CodeIssued:
    raise Error(ErrorCode.NOT_FOUND, "reached")


async def test_each_caller_that_a_contract_names_reaches_its_owner(rabbit: Rabbit) -> None:
    """The permissions suffice for every call of the register, there and back."""
    buses = {
        component: await rabbit.start(component, {kind: _refuse for kind in CALLS.values() if kind.owner == component})
        for component in permissions.COMPONENTS
    }
    for kind in CALLS.values():
        for caller in kind.callers:
            reply = await send_raw(buses[caller], kind, b"not json")
            assert Error.from_json(reply.body).code == ErrorCode.INVALID_REQUEST, (caller, kind.subject)


async def test_the_broker_refuses_every_call_that_no_contract_names(rabbit: Rabbit) -> None:
    """A component that was taken over cannot call past its contracts; the others do not notice."""
    held = Held()
    held.gate.set()
    for service in permissions.SERVICES:
        await rabbit.start(service, {kind: _refuse for kind in CALLS.values() if kind.owner == service})
    identity = await rabbit.start("identity")
    for component in permissions.COMPONENTS:
        forbidden = [kind for kind in CALLS.values() if component not in kind.callers]
        async with await aio_pika.connect(broker_url(rabbit.url, component)) as connection:
            for kind in forbidden:
                channel = await connection.channel()
                exchange = await channel.get_exchange(kind.owner, ensure=False)
                with pytest.raises(ChannelAccessRefused):
                    await exchange.publish(aio_pika.Message(b"{}"), kind.subject, timeout=2)
    with pytest.raises(Error) as raised:
        await identity.call(ISSUE)
    assert raised.value.code == ErrorCode.NOT_FOUND


async def test_no_component_reads_the_queues_of_another(rabbit: Rabbit) -> None:
    """Calls and events are seen by their owner alone."""
    async with await aio_pika.connect(rabbit.url) as admin:
        channel = await admin.channel()
        for owner in permissions.SERVICES:
            for name in (topology.calls_queue(owner), topology.groups_queue(owner)):
                await channel.declare_queue(name, auto_delete=True)
            await channel.declare_queue(
                topology.events_queue(owner), durable=True, arguments={"x-queue-type": "quorum"}
            )
            await channel.declare_queue(topology.dead_queue(owner), durable=True, arguments={"x-queue-type": "quorum"})
        for component in permissions.COMPONENTS:
            async with await aio_pika.connect(broker_url(rabbit.url, component)) as connection:
                for owner in permissions.SERVICES:
                    if owner == component:
                        continue
                    of_owner = [topology.calls_queue, topology.groups_queue, topology.events_queue]
                    if (component, owner in permissions.HEARERS) != (permissions.OPERATOR, True):
                        of_owner.append(topology.dead_queue)
                    for name in (name_of(owner) for name_of in of_owner):
                        own = await connection.channel()
                        queue = await own.get_queue(name, ensure=False)
                        with pytest.raises(ChannelAccessRefused):
                            await queue.get(fail=False, timeout=2)


async def test_nobody_puts_parked_events_back_but_the_operator(rabbit: Rabbit) -> None:
    """Who has taken over a component gives no service events of their own making, and the operator by one way only."""
    await rabbit.start("token", events={UserSuspended: Heard()})
    replay, queue = topology.replay_exchange("token"), topology.events_queue("token")
    ways = [(component, replay) for component in ("gateway", "identity", "password", "otp")]
    for component, name in (*ways, ("operator", ""), ("operator", "identity.events")):
        async with await aio_pika.connect(broker_url(rabbit.url, component)) as connection:
            channel = await connection.channel()
            exchange = await channel.get_exchange(name, ensure=False) if name else channel.default_exchange
            with pytest.raises(ChannelAccessRefused):
                await exchange.publish(aio_pika.Message(b"{}"), queue, timeout=2)
    async with await aio_pika.connect(broker_url(rabbit.url, "operator")) as connection:
        for name in (replay, topology.dead_queue("token")):
            channel = await connection.channel()
            with pytest.raises(ChannelAccessRefused):
                await (channel.exchange_delete(name) if name == replay else channel.queue_delete(name))


async def test_no_component_sends_groups_in_the_name_of_another(rabbit: Rabbit) -> None:
    """Who sent a group, and so what may be asked in it, is what the broker has checked."""
    await rabbit.start("otp", {IssueCode: _refuse})
    await rabbit.start("token", {})
    for component, owner, name in (
        ("gateway", "identity", "token"),
        ("token", "identity", "gateway"),
        ("identity", "otp", "otp"),
        ("gateway", "otp", "gateway"),
        ("gateway", "otp", "identity"),
    ):
        async with await aio_pika.connect(broker_url(rabbit.url, component)) as connection:
            channel = await connection.channel()
            exchange = await channel.get_exchange(owner, ensure=False)
            with pytest.raises(ChannelAccessRefused):
                await exchange.publish(aio_pika.Message(b"[]\n"), topology.group_key(owner, name), timeout=2)


@pytest.mark.parametrize("component", ["gateway", "operator", "token"])
async def test_no_component_binds_itself_to_the_traffic_of_another(rabbit: Rabbit, component: str) -> None:
    """Nobody listens in on calls by a queue of their own."""
    await rabbit.start("otp", {IssueCode: _refuse})
    async with await aio_pika.connect(broker_url(rabbit.url, component)) as connection:
        channel = await connection.channel()

        async def listen_in() -> None:
            queue = await channel.declare_queue("", exclusive=True)
            await queue.bind("otp", "#")

        with pytest.raises(ChannelAccessRefused):
            await listen_in()


async def test_a_call_published_past_its_exchange_is_refused(rabbit: Rabbit) -> None:
    """Who may write to the default exchange in order to reply cannot call by a queue's name."""
    held = Held()
    held.gate.set()
    await rabbit.start("otp", {IssueCode: held.issue})
    identity = await rabbit.start("identity")
    async with await aio_pika.connect(broker_url(rabbit.url, "token")) as connection:
        channel = await connection.channel()
        replies: asyncio.Queue[object] = asyncio.Queue()
        reply_queue = await channel.get_queue(REPLY_TO, ensure=False)
        await reply_queue.consume(replies.put, no_ack=True)
        smuggled = aio_pika.Message(
            ISSUE.model_dump_json().encode(),
            app_id="identity",
            reply_to=REPLY_TO,
            headers={"budget": 3.0, "sent-at": NOON.timestamp()},
        )
        await channel.default_exchange.publish(smuggled, topology.calls_queue("otp"))
        assert await identity.call(ISSUE) == CodeIssued(expires_at=NOON)
        assert held.count == 1
        assert replies.empty()


async def test_permissions_leave_no_room_for_other_names(rabbit: Rabbit) -> None:
    """A component declares nothing but its own."""
    async with await aio_pika.connect(broker_url(rabbit.url, "gateway")) as connection:
        for name in ("rpc.token", "rpc.token.groups", "rpc.gateway", "anything"):
            channel = await connection.channel()
            with pytest.raises(AMQPError):
                await channel.declare_queue(name, auto_delete=True)
