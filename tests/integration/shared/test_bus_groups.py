"""How calls travel together over RabbitMQ, and beside the version that sent each alone."""

import asyncio
from typing import Any
from uuid import UUID

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage

from shared.bus import topology
from shared.bus.bus import Bus
from shared.bus.rabbit_client import REPLY_TO
from shared.contracts.otp import CodeIssued, IssueCode
from shared.contracts.password import Verification, VerifyPassword
from tests.conftest import broker_url
from tests.contract.bus.predecessor import call_otp, old_otp
from tests.contract.bus.transports import Rabbit
from tests.contract.bus.vehicles import ISSUE, NOON, Held, issue

ISSUED = CodeIssued(expires_at=NOON)


async def ignore(_message: AbstractIncomingMessage) -> None:
    """Take a reply that nobody waits for."""


def messages(bus: Bus, owner: str) -> tuple[float, float]:
    """How many messages went to `owner`, and how many calls travelled in them."""
    registry = bus._telemetry.registry
    found = [
        registry.get_sample_value(f"dragoman_bus_group_size_{what}", {"owner": owner}) for what in ("count", "sum")
    ]
    return found[0] or 0.0, found[1] or 0.0


async def test_calls_of_one_moment_share_a_message(rabbitmq_url: str) -> None:
    """A hundred calls made at once cross in a few messages, none of more than 64."""
    async with Rabbit(rabbitmq_url) as transport:
        await transport.start("otp", {IssueCode: issue})
        identity = await transport.start("identity")
        assert await asyncio.gather(*(identity.call(ISSUE) for _ in range(100))) == [ISSUED] * 100
        assert messages(identity, "otp") == (2, 100)


async def test_a_lone_call_travels_alone(rabbitmq_url: str) -> None:
    """Nobody waits for others to come: calls made one after the other are a message each."""
    async with Rabbit(rabbitmq_url) as transport:
        await transport.start("otp", {IssueCode: issue})
        identity = await transport.start("identity")
        for _ in range(3):
            await identity.call(ISSUE)
        assert messages(identity, "otp") == (3, 3)


async def test_a_caller_that_gives_up_at_once_is_not_even_sent(rabbitmq_url: str) -> None:
    """A call that is cancelled in the turn in which it was made costs its service nothing."""
    async with Rabbit(rabbitmq_url) as transport:
        held = Held()
        held.gate.set()
        await transport.start("otp", {IssueCode: held.issue})
        identity = await transport.start("identity")
        kept = asyncio.create_task(identity.call(ISSUE))
        given_up = asyncio.create_task(identity.call(ISSUE))
        asyncio.get_running_loop().call_soon(given_up.cancel)
        await kept
        assert (held.count, given_up.cancelled()) == (1, True)


async def test_cpu_heavy_calls_spread_over_replicas(rabbitmq_url: str) -> None:
    """Passwords to be verified at the same time are dealt to all replicas, one by one."""
    counts = [0, 0]

    def verifier(which: int) -> Any:
        async def verify(_call: VerifyPassword) -> Verification:
            counts[which] += 1
            return Verification(matches=True)

        return verify

    async with Rabbit(rabbitmq_url) as transport:
        for which in range(2):
            await transport.start("password", {VerifyPassword: verifier(which)})
        identity = await transport.start("identity")
        call = VerifyPassword.model_validate({"user_id": UUID(int=1), "password": "hunter2"})
        await asyncio.gather(*(identity.call(call) for _ in range(10)))
        assert counts == [5, 5]
        assert messages(identity, "password") == (0, 0)


async def test_replicas_of_the_version_without_groups_are_given_none(rabbitmq_url: str) -> None:
    """While only such replicas serve, each of many calls reaches them alone, and is answered."""
    async with Rabbit(rabbitmq_url) as transport, old_otp(broker_url(rabbitmq_url, "otp")) as given:
        identity = await transport.start("identity")
        assert await asyncio.gather(*(identity.call(ISSUE) for _ in range(20))) == [ISSUED] * 20
        assert given == ["call"] * 20


async def test_both_versions_serve_side_by_side(rabbitmq_url: str) -> None:
    """In the middle of a rolling update every call is answered, lone ones by both and groups by the new one."""
    async with Rabbit(rabbitmq_url) as transport, old_otp(broker_url(rabbitmq_url, "otp")) as given:
        await transport.start("otp", {IssueCode: issue})
        identity = await transport.start("identity")
        for _ in range(5):
            assert await asyncio.gather(*(identity.call(ISSUE) for _ in range(8))) == [ISSUED] * 8
            assert await identity.call(ISSUE) == ISSUED
        assert 0 < len(given) < 5
        assert set(given) == {"call"}


async def test_a_caller_of_the_version_without_groups_is_answered_alone(rabbitmq_url: str) -> None:
    """An old caller gets from a new replica what it always got."""
    async with Rabbit(rabbitmq_url) as transport:
        await transport.start("otp", {IssueCode: issue})
        answer = await call_otp(broker_url(rabbitmq_url, "identity"), ISSUE.model_dump_json().encode())
        assert answer == ("reply", ISSUED.model_dump_json().encode())


@pytest.mark.parametrize("body", [b"", b"[]\n", b"{}\n", b"[[1]]\n", b'[["1","otp.issue_code.v1","r",2,0,99]]\n{}'])
async def test_what_is_no_group_is_dropped_and_the_next_one_is_answered(rabbitmq_url: str, body: bytes) -> None:
    """A group that cannot be read neither comes back for ever nor stops the queue."""
    async with Rabbit(rabbitmq_url) as transport:
        await transport.start("otp", {IssueCode: issue})
        identity = await transport.start("identity")
        async with await aio_pika.connect(broker_url(rabbitmq_url, "identity")) as connection:
            channel = await connection.channel()
            replies = await channel.get_queue(REPLY_TO, ensure=False)
            await replies.consume(ignore, no_ack=True)
            exchange = await channel.get_exchange("otp", ensure=False)
            malformed = aio_pika.Message(body, type="calls", reply_to=REPLY_TO, expiration=2.0)
            await exchange.publish(malformed, topology.group_key("otp", "identity"))
        assert await asyncio.gather(*(identity.call(ISSUE) for _ in range(3))) == [ISSUED] * 3
