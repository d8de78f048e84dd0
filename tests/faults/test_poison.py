"""Messages that nobody can read, on every queue: refused or parked with their reason, while the traffic goes on."""

import json
import struct
from collections.abc import Iterator
from itertools import count, product
from typing import Any
from uuid import UUID

import aio_pika
import orjson
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from deploy.running.components import program
from shared.bus import topology
from shared.bus.messages import CALLS, EVENTS
from shared.bus.permissions import HEARERS, SERVICES
from tests.faults.clients import everybody
from tests.faults.report import keep
from tests.faults.traffic import Traffic
from tests.support.platform import Platform, at_path
from tests.support.urls import ServerUrls
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)

BODIES = (
    b"",
    b"not json",
    b"\xff\xfe\x00" * 50,
    b"[" * 100_000,
    b"null",
    b'{"a":"' + b"x" * 200_000 + b'"}',
    b'{"body":1e999}',
)
HEADERS: tuple[dict[str, Any], ...] = (
    {"budget": 2.0},
    {"budget": "soon", "sent-at-ms": "yesterday", "request-id": 7},
    {"budget": 1e30, "sent-at-ms": -1, "request-id": "r" * 10_000},
    {"budget": 2**40, "sent-at-ms": 2**62, "attempt": "first"},
    {"budget": -1.0, "x-death": "no list", "reason": ["no", "text"]},
)
MORE_THAN_ANY_PREFETCH = 70
_ids = count(1)


def _poisoned_groups() -> Iterator[bytes]:
    """What is no group, or one whose index lies."""
    yield from BODIES
    lying = ([["1", "s", "r", 2.0, 0, 99]], [["1", "s", "r", 2.0, 0, -5]])
    for index in (*map(orjson.dumps, lying), b'[["1"]]', b"[[]]", b'{"a":1}', b"[]", b"7", b"null"):
        yield index + b"\n{}"
    yield struct.pack(">Q", 2**63) + b"\n"


async def test_poison_on_each_queue_is_told_and_stops_nobody(
    platform: Platform, server_urls: ServerUrls, worker: str, *, long: bool
) -> None:
    """More of it than any replica takes in at once, so that each bad message that was kept would be missed."""
    url = at_path(server_urls.rabbitmq, f"/test_{worker}")
    rounds = 3 if long else 1
    async with Traffic([platform.url], everybody()) as traffic, await aio_pika.connect(url) as connection:
        fault = traffic.fault("a poison message on each queue")
        sent = 0
        for _ in range(rounds):
            sent += await _poison_calls(await connection.channel(on_return_raises=True))
            sent += await _poison_groups(await connection.channel(on_return_raises=True))
        parked = await _poison_events(await connection.channel(on_return_raises=True))
        fault.over()
        await fault.recovered(10.0)
        await traffic.more(3)
        await _empty(await connection.channel())
    assert fault.errors() == {}
    assert fault.wrong == []
    letters = await _parked(platform, parked)
    expected = {"not an event: no usable message id", "validation error", "does not know"}
    reasons = [letter["reason"] for letter in letters]
    assert [reason for reason in reasons if not any(word in reason for word in expected)] == []
    assert [word for word in expected if not any(word in reason for reason in reasons)] == []
    for service in HEARERS:
        await platform.run(program("dragoman"), "dead-letters", "drop", service, "--all")
    assert await _dead_letters(platform) == []
    refused = [line for one in platform.every for line in _lines(one.text(), "malformed group refused")]
    assert refused
    assert all(line["reason"] and line["caller"] for line in refused)
    assert all(one.process.running for one in platform.every)
    keep(
        fault.finding(
            group="disk full and poison",
            held="calls are refused, groups are dropped with a line in the log, events are parked with their reason",
            lost=0,
            doubled=0,
            long=long,
            more={"bad calls and groups": sent, "bad events parked": parked},
        )
    )


async def _poison_calls(channel: AbstractChannel) -> int:
    """Bad calls to each service, by themselves and with nowhere to answer to; where there is, they are answered."""
    answers: dict[str, str] = {}

    async def note(message: AbstractIncomingMessage) -> None:
        answers[message.correlation_id or ""] = message.type or ""

    replies = await channel.get_queue("amq.rabbitmq.reply-to", ensure=False)
    await replies.consume(note, no_ack=True)
    sent = 0
    answerable: set[str] = set()
    for service in SERVICES:
        subject, caller = next((name, min(call.callers)) for name, call in CALLS.items() if call.owner == service)
        exchange = await channel.get_exchange(service, ensure=False)
        kinds = list(product(BODIES, HEADERS))
        for body, headers in kinds * (MORE_THAN_ANY_PREFETCH // len(kinds)):
            for reply_to in ("amq.rabbitmq.reply-to", "nobody", None):
                call_id = _id()
                if reply_to == "amq.rabbitmq.reply-to":
                    answerable.add(call_id)
                message = aio_pika.Message(
                    body, type="call", app_id=caller, correlation_id=call_id, reply_to=reply_to, headers=headers
                )
                await exchange.publish(message, subject, mandatory=True)
                sent += 1

    async def answered() -> bool | None:
        return True if answerable <= answers.keys() else None

    await eventually(answered, 20.0, "every bad call is answered")
    assert set(answers.values()) == {"error"}
    return sent


async def _poison_groups(channel: AbstractChannel) -> int:
    """Bad groups to each service."""
    sent = 0
    for service in SERVICES:
        exchange = await channel.get_exchange(service, ensure=False)
        bodies = list(_poisoned_groups())
        for body in bodies * (MORE_THAN_ANY_PREFETCH // len(bodies) + 1):
            for reply_to in ("nobody", None):
                message = aio_pika.Message(body, type="calls", reply_to=reply_to, expiration=10)
                await exchange.publish(message, topology.group_key(service, "gateway"), mandatory=True)
                sent += 1
    return sent


async def _poison_events(channel: AbstractChannel) -> int:
    """Bad events for each service that hears any, at their last attempt where they have several; how many."""
    sent = 0
    for service in HEARERS:
        subject = next(subject for subject, event in EVENTS.items() if service in event.subscribers)
        for body, headers in product(BODIES, HEADERS):
            without_id = aio_pika.Message(body, message_id="none", headers={**headers, "subject": subject})
            unreadable = aio_pika.Message(
                body, message_id=_id(), headers={**headers, "subject": subject, "attempt": 99}
            )
            unknown = aio_pika.Message(
                b"{}", message_id=_id(), headers={**headers, "subject": "no.such.v9", "attempt": 99}
            )
            for message in (without_id, unreadable, unknown):
                await channel.default_exchange.publish(message, topology.events_queue(service), mandatory=True)
                sent += 1
    return sent


async def _parked(platform: Platform, number: int) -> list[dict[str, Any]]:
    async def look() -> list[dict[str, Any]] | None:
        letters = await _dead_letters(platform)
        return letters if len(letters) >= number else None

    letters = await eventually(look, 30.0, f"{number} events are parked")
    assert len(letters) == number
    return letters


async def _dead_letters(platform: Platform) -> list[dict[str, Any]]:
    output = await platform.run(program("dragoman"), "dead-letters", "list", "--limit", "10000", "--json")
    letters: list[dict[str, Any]] = json.loads(output)["dead_letters"]
    return letters


async def _empty(channel: AbstractChannel) -> None:
    """Return once nothing waits in any queue of calls, groups or events."""
    names = [name(service) for service in SERVICES for name in (topology.calls_queue, topology.groups_queue)]
    names += [topology.events_queue(service) for service in HEARERS]

    async def look() -> bool | None:
        queues = [await channel.declare_queue(name, passive=True) for name in names]
        return True if all(queue.declaration_result.message_count == 0 for queue in queues) else None

    await eventually(look, 20.0, "every queue is empty")


def _id() -> str:
    return str(UUID(int=next(_ids)))


def _lines(text: str, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in text.splitlines() if event in line]
    return [line for line in lines if line["event"] == event]
