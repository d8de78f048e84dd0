"""Operators' work on events that were given up: seen with their reasons, put back once, or dropped."""

import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import aio_pika
import pytest
from pamqp import encode

from shared.bus import topology
from shared.bus.dead_letters import RETURNS
from shared.bus.frames import EventFrame
from shared.clock import SystemClock
from shared.contracts.identity import UserSuspended
from tests.conftest import broker_url
from tests.contract.bus.transports import RETRY, Rabbit
from tests.contract.bus.vehicles import SUSPENDED, Heard, told
from tests.integration.cli.conftest import Command
from tests.support.waiting import eventually

SUBJECT = SUSPENDED.subject
REASON = "RuntimeError('the store is away')"


class Scene:
    """A `token` that fails, `identity` that tells it of things, and the operator's command."""

    def __init__(self, rabbit: Rabbit) -> None:
        self.rabbit = rabbit
        self.heard = Heard()
        self.dragoman = Command({"DRAGOMAN_RABBITMQ_URL": broker_url(rabbit.url, "operator")})

    async def letters(self, *options: str) -> list[dict[str, Any]]:
        """What `list` shows of `token`."""
        shown = (await self.dragoman("dead-letters", "list", "token", "--json", *options)).json()
        return sorted(shown["dead_letters"], key=lambda letter: str(letter["id"]))

    async def park(self, *frames: EventFrame) -> list[dict[str, Any]]:
        """Have `token` give these events up, and hear the later ones; returns what is parked then."""
        before = len(await self.letters())
        self.heard._failures = RETRY.max_attempts * len(frames)
        for frame in frames:
            await self.identity.publish(frame)
        return await self.parked(before + len(frames))

    async def parked(self, number: int) -> list[dict[str, Any]]:
        """What is parked once it is so many."""

        async def look() -> list[dict[str, Any]] | None:
            letters = await self.letters()
            return letters if len(letters) >= number else None

        letters = await eventually(look, 10.0, f"{number} events are parked")
        while not self.heard.deliveries.empty():
            self.heard.deliveries.get_nowait()
        return letters

    async def run(self) -> None:
        """Start both."""
        await self.rabbit.start("token", events={UserSuspended: self.heard})
        self.identity = await self.rabbit.start("identity")

    async def put(self, queue: str, message: aio_pika.Message) -> None:
        """Put a message into a queue as an administrator."""
        async with await aio_pika.connect(self.rabbit.url) as connection:
            channel = await connection.channel()
            await channel.default_exchange.publish(message, queue, mandatory=True)


@pytest.fixture
async def scene(rabbitmq_url: str) -> AsyncIterator[Scene]:
    """It runs."""
    async with Rabbit(rabbitmq_url) as rabbit:
        made = Scene(rabbit)
        await made.run()
        yield made


async def test_a_parked_event_is_shown_with_its_reason_and_without_its_body(scene: Scene) -> None:
    """Which event, after how many attempts, why and when; looking again shows the same."""
    [letter] = await scene.park(told(SUSPENDED))
    parked_at = datetime.fromisoformat(letter.pop("parked_at"))
    assert timedelta(0) <= SystemClock().now() - parked_at < timedelta(seconds=30)
    assert letter == {
        "service": "token",
        "id": str(UUID(int=1)),
        "subject": SUBJECT,
        "attempts": RETRY.max_attempts,
        "reason": REASON,
    }
    for services in ((), ("token",)):
        table = (await scene.dragoman("dead-letters", "list", *services)).out.splitlines()
        assert table[0].split() == ["SERVICE", "ID", "SUBJECT", "ATTEMPTS", "PARKED", "REASON"]
        assert table[1].split(maxsplit=5)[:4] == ["token", letter["id"], SUBJECT, "3"]
        assert table[1].endswith(REASON)
        assert len(table) == 2
    assert (await scene.dragoman("dead-letters", "list", "otp", "--json")).json() == {"dead_letters": [], "more": 0}


async def test_a_replayed_event_is_handled_once_under_its_id_with_all_its_attempts(scene: Scene) -> None:
    """One of two is put back: the service hears that one as if for the first time, the other stays."""
    first, second = await scene.park(told(SUSPENDED, 1), told(SUSPENDED, 2))
    answer = (await scene.dragoman("dead-letters", "replay", "token", second["id"], "--json")).json()
    assert [letter["id"] for letter in answer["replayed"]] == [second["id"]]
    event, delivery = await scene.heard.next()
    assert (event, str(delivery.id), delivery.attempt) == (SUSPENDED, second["id"], 1)
    assert await scene.letters() == [first]
    assert scene.heard.deliveries.empty()


async def test_a_replayed_event_that_fails_again_has_all_its_attempts_and_is_parked_again(scene: Scene) -> None:
    """The same event again, after as many attempts as the first time."""
    [before] = await scene.park(told(SUSPENDED))
    scene.heard._failures = RETRY.max_attempts
    ended = await scene.dragoman("dead-letters", "replay", "token", "--all")
    assert ended.out == f"replayed {before['id']}  {SUBJECT}\n"
    for attempt in range(1, RETRY.max_attempts + 1):
        assert (await scene.heard.next())[1].attempt == attempt
    [after] = await scene.parked(1)
    assert after | {"parked_at": ""} == before | {"parked_at": ""}


async def test_replaying_all_ends_although_some_come_back_at_once(scene: Scene) -> None:
    """What is no event is parked as soon as it is put back; each is put back once."""
    for number in range(3):
        await scene.put(topology.events_queue("token"), aio_pika.Message(b"{}", message_id=f"no-{number}"))
    letters = await scene.parked(3)
    assert [letter["id"] for letter in letters] == ["no-0", "no-1", "no-2"]
    assert {letter["reason"] for letter in letters} == {"not an event: no usable message id"}
    answer = (await scene.dragoman("dead-letters", "replay", "token", "--all", "--json")).json()
    assert len(answer["replayed"]) == 3
    assert len(await scene.parked(3)) == 3
    assert (await scene.dragoman("dead-letters", "drop", "token", "--all")).out.count("dropped no-") == 3
    assert await scene.letters() == []


async def test_a_dropped_event_is_gone_and_the_others_stay(scene: Scene) -> None:
    """Nobody hears of it again."""
    first, second, third = await scene.park(*(told(SUSPENDED, number) for number in (1, 2, 3)))
    ended = await scene.dragoman("dead-letters", "drop", "token", second["id"])
    assert ended.out == f"dropped {second['id']}  {SUBJECT}\n"
    assert await scene.letters() == [first, third]
    await scene.dragoman("dead-letters", "drop", "token", "--all")
    assert await scene.letters() == []
    assert (await scene.dragoman("dead-letters", "drop", "token", "--all")).out == "nothing to be dropped\n"
    assert scene.heard.deliveries.empty()


async def test_looking_often_loses_nothing(scene: Scene) -> None:
    """A broker of version 4 drops what was looked at twenty times, unless it was written anew before."""
    before = await scene.park(told(SUSPENDED, 1), told(SUSPENDED, 2))
    for _ in range(RETURNS + 3):
        assert await scene.letters() == before
    async with await aio_pika.connect(scene.rabbit.url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(topology.dead_queue("token"))
        looked_at = [(await queue.get()).headers.get("x-delivery-count", 0) for _ in before]
        assert max(map(int, looked_at)) < RETURNS  # type: ignore[arg-type]
    await scene.dragoman("dead-letters", "replay", "token", "--all")
    assert {str((await scene.heard.next())[1].id) for _ in before} == {letter["id"] for letter in before}


async def test_a_long_list_is_cut_and_says_so(scene: Scene) -> None:
    """As many as asked for, and the number of the others."""
    before = await scene.park(*(told(SUSPENDED, number) for number in (1, 2, 3)))
    cut = (await scene.dragoman("dead-letters", "list", "--limit", "2", "--json")).json()
    assert len(cut["dead_letters"]) == 2
    assert all(letter in before for letter in cut["dead_letters"])
    assert cut["more"] == 1
    assert (await scene.dragoman("dead-letters", "list", "--limit", "2")).out.endswith("\nand 1 more\n")
    assert await scene.letters() == before


async def test_a_body_is_shown_when_asked_for_and_its_secrets_are_not(scene: Scene) -> None:
    """What is named like a secret, or looks like a token, is masked; what is no JSON is only counted."""
    document = {
        "user_id": "u",
        "nested": [{"client_secret": "hunter2", "code": "123456", "code_id": "c"}],
        "link": "see eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1In0.c2lnbmVk here",
        "empty_token": "",
    }
    for body in (json.dumps(document).encode(), b"\xffhunter2", b'["hunter2"]'):
        await scene.put(topology.events_queue("token"), aio_pika.Message(body, message_id="none"))
    await scene.parked(3)
    masked = {
        "user_id": "u",
        "nested": [{"client_secret": "***", "code": "***", "code_id": "c"}],
        "link": "see *** here",
        "empty_token": "",
    }
    bodies = [letter["body"] for letter in await scene.letters("--body")]
    assert sorted(bodies, key=str) == sorted(
        [masked, "8 bytes that are no JSON object", "11 bytes that are no JSON object"], key=str
    )
    for options in ((), ("--json",), ("--body",), ("--body", "--json")):
        ended = await scene.dragoman("dead-letters", "list", *options)
        assert ended.status == 0
        assert not any(secret in ended.out for secret in ("hunter2", "123456", "eyJ"))
    assert json.dumps(masked) in (await scene.dragoman("dead-letters", "list", "--body")).out


async def test_what_the_broker_parked_itself_is_shown_and_put_back(scene: Scene) -> None:
    """An event whose every consumer died with it has no reason of ours, but the broker's; also after many looks."""
    async with await aio_pika.connect(scene.rabbit.url) as connection:
        channel = await connection.channel()
        await channel.declare_queue(
            "events.token.retry.50.dying",
            auto_delete=True,
            arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": topology.dead_queue("token")},
        )
        queue = await channel.get_queue("events.token.retry.50.dying")
        frame = told(SUSPENDED)
        message = aio_pika.Message(
            frame.body, message_id=str(frame.id), headers={"subject": SUBJECT, "attempt": 2, "request-id": "r"}
        )
        await channel.default_exchange.publish(message, queue.name)
        await (await queue.get()).reject(requeue=False)
        await channel.queue_delete(queue.name)
    [letter] = await scene.parked(1)
    assert (letter["id"], letter["attempts"], letter["reason"]) == (str(frame.id), 2, "parked by the broker: rejected")
    assert letter["parked_at"] is not None
    for _ in range(RETURNS + 1):
        assert await scene.letters() == [letter]
    await scene.dragoman("dead-letters", "replay", "token", "--all")
    assert (await scene.heard.next())[1].attempt == 1


@pytest.mark.parametrize("attempt", [-100, 0, "1"])
async def test_an_event_that_lies_about_its_attempts_is_given_up_like_any_other(scene: Scene, attempt: Any) -> None:
    """It is neither kept in hand for good nor tried without end."""
    scene.heard._failures = RETRY.max_attempts
    frame = told(SUSPENDED)
    headers = {"subject": SUBJECT, "attempt": attempt}
    message = aio_pika.Message(frame.body, message_id=str(frame.id), headers=headers)
    await scene.put(topology.events_queue("token"), message)
    [letter] = await scene.parked(1)
    assert (letter["id"], letter["attempts"], letter["reason"]) == (str(frame.id), RETRY.max_attempts, REASON)


@pytest.mark.parametrize("broken", ["id", "header", "timestamp"])
async def test_what_cannot_be_decoded_is_parked_and_ends_no_connection(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """Properties that are no UTF-8, or a moment past all calendars, which the client library would refuse to read."""

    def short_text(value: str) -> bytes:
        data = value.encode(errors="surrogateescape")
        return bytes([len(data)]) + data

    message = aio_pika.Message(b"{}", message_id="none")
    with monkeypatch.context() as patched:
        patched.setitem(encode.METHODS, "shortstr", short_text)
        if broken == "id":
            message.message_id = "x\udcff"
        elif broken == "header":
            message.headers["broken"] = 1
            table = encode.field_table
            bad = b"\0\0\0\5\2x\xfft\1"
            patched.setitem(encode.METHODS, "table", lambda value: bad if "broken" in (value or {}) else table(value))
        else:
            message.timestamp = SystemClock().now()
            patched.setitem(encode.METHODS, "timestamp", lambda _: bytes([255] * 8))
        await scene.put(topology.events_queue("token"), message)
    [letter] = await scene.parked(1)
    assert letter["reason"] == "not an event: no usable message id"
    assert all(proxy.accepted == 1 for proxy in scene.rabbit.proxies.values()), "a connection was lost"
    await scene.identity.publish(told(SUSPENDED))
    await scene.heard.next()


async def test_what_cannot_be_done_is_told_in_one_line(scene: Scene) -> None:
    """An unknown id, neither an id nor --all, both, an unknown service."""
    [letter] = await scene.park(told(SUSPENDED))
    for command in ("replay", "drop"):
        ended = await scene.dragoman("dead-letters", command, "token", str(UUID(int=9)))
        assert (ended.status, ended.out, ended.err) == (1, "", "Error: token has given up no such event\n")
        for arguments in (["token"], ["token", letter["id"], "--all"], ["gateway", "--all"]):
            assert (await scene.dragoman("dead-letters", command, *arguments)).status == 2
    assert await scene.letters() == [letter]


async def test_without_a_broker_the_command_ends_with_its_reason() -> None:
    """Status 1 and one line."""
    ended = await Command({"DRAGOMAN_RABBITMQ_URL": "amqp://operator:x@127.0.0.1:1/"})("dead-letters", "list")
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith("Error: the broker cannot be reached: ")
