"""The mail server and the SMS provider fail: asking for codes is unharmed, each code comes once, or is told as parked.

Both fail at the same time, each in the way that its protocol has for it.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage
from aiohttp import ClientSession

from deploy.running.components import program
from shared.bus import topology
from shared.clock import SystemClock
from tests.faults.clients import SendCode
from tests.faults.links import Link, linked
from tests.faults.report import keep
from tests.faults.traffic import Asker, Traffic
from tests.support.platform import Platform, at_path
from tests.support.token_api import TokenApi
from tests.support.urls import ServerUrls
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)

UNBOUNDED = {
    "DRAGOMAN_OTP_SMS_DAILY_LIMIT": "0",
    "DRAGOMAN_OTP_SMS_PREFIX_DAILY_LIMIT": "0",
    "DRAGOMAN_OTP_SMS_MIN_VERIFIED_RATIO": "0",
}
"""The codes of the traffic are never used, which looks like SMS pumping."""

_numbers = count()


class SendSms(SendCode):
    """The same as SendCode, to a new phone number each time."""

    kind = "send_sms"

    async def turn(self, ask: Asker) -> None:
        """One code."""
        self._requests += 1
        reply = await ask.ask("POST", "/otp/send", {"phone": self._address}, bearer=self._bearer)
        if reply.ok:
            self.told[self._address] = self._requests
            self._new()
        elif reply.status not in {0, 503}:
            ask.wrong(f"status {reply.status}")

    def _new(self) -> None:
        self._address, self._requests = f"+49151{next(_numbers):08d}", 0


@dataclass(frozen=True)
class Providers:
    """The platform, and the ways from its `otp` to the mail server and the SMS provider."""

    platform: Platform
    smtp: Link
    sms: Link

    async def fail(self, how: dict[str, str]) -> None:
        """Have both fail in these ways; `{}` has them well again, and what was held back is let go."""
        down = how.get("smtp") == "down"
        for link in (self.smtp, self.sms):
            link.refuse(refusing=down)
            if down:
                link.cut()
        async with ClientSession() as session:
            await session.put(f"{self.platform.inbox['http']}/faults", json={} if down else how)

    async def arrived(self) -> dict[str, list[dict[str, Any]]]:
        """The messages that came, by address."""
        by_address = defaultdict(list)
        address = f"{self.platform.inbox['http']}/messages.json"
        async with ClientSession() as session, session.get(address, params={"limit": "1000"}) as response:
            for message in await response.json():
                by_address[message["to"]].append(message)
        return by_address

    async def all_came(self, told: set[str], within: float) -> dict[str, list[dict[str, Any]]]:
        """The messages, once there is one to each of these addresses."""
        assert 0 < len(told) < 400, "the inbox keeps no more"

        async def look() -> dict[str, list[dict[str, Any]]] | None:
            found = await self.arrived()
            return found if told <= found.keys() else None

        return await eventually(look, within, "every code that was promised comes")

    async def forget(self) -> None:
        """Empty the inbox."""
        async with ClientSession() as session:
            await session.delete(f"{self.platform.inbox['http']}/messages.json")


@pytest.fixture(scope="module")
def providers(platform: Platform) -> Iterator[Providers]:
    """`otp` reaches both through links."""
    smtp_port = urlsplit(platform.inbox["smtp"]).port
    sms_port = urlsplit(platform.inbox["http"]).port
    assert smtp_port is not None
    assert sms_port is not None
    with ExitStack() as stack:
        smtp, sms = (stack.enter_context(linked("127.0.0.1", port)) for port in (smtp_port, sms_port))
        settings = {
            "DRAGOMAN_OTP_SMTP_PORT": str(smtp.port),
            "DRAGOMAN_OTP_SMS_URL": f"http://127.0.0.1:{sms.port}/sms/Messages.json",
        }
        platform.end("otp")
        asyncio.run(platform.start("otp", **UNBOUNDED, **settings).ready())
        yield Providers(platform, smtp, sms)
        platform.end("otp")


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("both are down", {"smtp": "down"}),
        ("both are slow", {"smtp": "slow", "sms": "slow"}),
        ("mail answers 4xx, SMS 5xx", {"smtp": "tempfail", "sms": "http500"}),
        ("both drop the connection after acceptance", {"smtp": "drop_after_data", "sms": "drop"}),
    ],
)
async def test_a_code_comes_once_when_its_provider_is_back(
    providers: Providers, name: str, how: dict[str, str], *, long: bool
) -> None:
    """Asking is unharmed meanwhile, no code is lost, and no person gets two messages that are not the same."""
    await providers.forget()
    period = 0.1 if long else 0.3
    clients = [SendCode(period), SendSms(period)]
    async with Traffic([providers.platform.url], clients) as traffic:
        fault = traffic.fault(name)
        await providers.fail(how)
        failed_at = SystemClock().now()
        await asyncio.sleep(12.0 if long else 0.8)  # the fault: the long one is longer than an attempt may take
        await traffic.more(1)
        await providers.fail({})
        fault.over()
        began = asyncio.get_running_loop().time()
        await fault.recovered(10.0)
    assert fault.errors() == {}
    assert fault.wrong == []
    slowest = max(asked.ended_at - asked.sent_at for asked in fault.asked)
    assert slowest < 2.0, "asking for a code waited for its delivery"
    told = {address for client in clients for address in client.told}
    messages = await providers.all_came(told, 90.0 if long else 30.0)
    came_after = asyncio.get_running_loop().time() - began
    assert all(len({(message["id"], message["text"]) for message in to}) == 1 for to in messages.values())
    again = {address: len(to) - 1 for address, to in messages.items() if len(to) > 1}
    assert not any(address.startswith("+") for address in again), "an SMS provider knows repeats by their key"
    if "down" in how.values():
        # Accepted in the moment in which its connection was cut, with the answer still on its way.
        assert all(datetime.fromisoformat(messages[address][-1]["sent_at"]) <= failed_at for address in again)
    elif not {"drop_after_data", "slow"} & set(how.values()):
        assert again == {}
    keep(
        fault.finding(
            group="mail and SMS",
            held="`/otp/send` answers as ever; each code comes once"
            + ("; a mail that was accepted without an answer again, under its Message-ID" if again else ""),
            lost=0,
            doubled=0,
            long=long,
            more={
                "slowest answer": f"{slowest:.2f} s",
                "all there": f"{came_after:.1f} s after",
                "mails again": sum(again.values()),
            },
        )
    )


async def test_a_refusal_for_good_is_told_and_the_next_request_sends_anew(providers: Providers) -> None:
    """Mail answers 5xx, SMS 4xx: the log says why, nothing is tried again or parked, and asking again helps at once."""
    await providers.forget()
    clients = [SendCode(0.3), SendSms(0.3)]
    async with Traffic([providers.platform.url], clients) as traffic:
        fault = traffic.fault("mail answers 5xx, SMS 4xx")
        before = {address for client in clients for address in client.told}
        await providers.fail({"smtp": "reject", "sms": "http400"})
        await traffic.more(3)
    assert fault.errors() == {}
    assert fault.wrong == []
    told = {address for client in clients for address in client.told} - before
    [otp] = providers.platform.replicas("otp")

    async def refused() -> list[dict[str, Any]] | None:
        lines = [line for line in otp.lines() if line["event"] == "code not delivered"]
        arrived = await providers.arrived()
        return lines if len(lines) >= len(told - arrived.keys()) else None

    lines = await eventually(refused, 20.0, "each refusal is logged")
    assert {line["reason"] for line in lines} == {"smtp 550 5.1.1", "http 400, code 21211"}
    await providers.fail({})
    assert await _dead_letters(providers.platform) == []
    arrived = await providers.arrived()
    again = sorted(told - arrived.keys())
    assert again
    async with ClientSession() as session:
        api = TokenApi(providers.platform, session)
        for address in again:
            assert (await api.send_code(**{"phone" if address[0] == "+" else "email": address})).status == 200
    await providers.all_came(set(again), 10.0)
    keep(
        fault.finding(
            group="mail and SMS",
            held="refused for good: logged with the reason and counted, not tried again; asking again sends at once",
            more={"refused": len(again)},
        )
    )


async def test_a_code_that_no_attempt_could_deliver_is_parked_and_comes_when_it_is_replayed(
    providers: Providers, server_urls: ServerUrls, worker: str
) -> None:
    """After its last attempt an operator finds it with the provider's answer, and puts it back: it comes once."""
    address = "parked@example.com"
    platform, broker = providers.platform, at_path(server_urls.rabbitmq, f"/test_{worker}")
    await _nothing_waits(broker)
    await providers.fail({"smtp": "tempfail"})
    async with ClientSession() as session:
        api = TokenApi(platform, session)
        assert (await api.send_code(email=address)).status == 200
        await _make_the_next_attempt_the_last(broker)

        async def parked() -> list[dict[str, Any]] | None:
            return await _dead_letters(platform) or None

        [letter] = await eventually(parked, 30.0, "the event is parked")
        assert letter["subject"] == "otp.delivery_requested.v1"
        assert letter["attempts"] == topology.MAX_ATTEMPTS
        assert "the mail server did not take a message: smtp 451 4.7.1" in letter["reason"]
        assert address not in str(letter)
        await providers.fail({})
        await platform.run(program("dragoman"), "dead-letters", "replay", "otp", letter["id"])
        [message] = (await providers.all_came({address}, 10.0))[address]
        assert await api.code_for(address) in message["text"]
    assert await _dead_letters(platform) == []


async def _dead_letters(platform: Platform) -> list[dict[str, Any]]:
    output = await platform.run(program("dragoman"), "dead-letters", "list", "otp", "--json")
    letters: list[dict[str, Any]] = json.loads(output)["dead_letters"]
    return letters


async def _nothing_waits(url: str) -> None:
    """Return once no event of an earlier test is still to come again, which would be taken for this one's."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()

        async def none() -> bool | None:
            queues = [
                await channel.declare_queue(topology.retry_queue("otp", delay), passive=True)
                for delay in topology.RETRY_SECONDS
            ]
            return True if not any(queue.declaration_result.message_count for queue in queues) else None

        await eventually(none, 120.0, "no event waits")


async def _make_the_next_attempt_the_last(url: str) -> None:
    """Ten attempts take six minutes; so the event that waits for its second is given back as if for its tenth."""
    queues = [topology.retry_queue("otp", delay) for delay in topology.RETRY_SECONDS[:2]]
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        waiting = [await channel.get_queue(name) for name in queues]

        async def take() -> AbstractIncomingMessage | None:
            for queue in waiting:
                if message := await queue.get(fail=False):
                    return message
            return None

        message = await eventually(take, 10.0, "the event waits for another attempt")
        last = aio_pika.Message(
            message.body,
            message_id=message.message_id,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            headers={**message.headers, "attempt": topology.MAX_ATTEMPTS},
        )
        await channel.default_exchange.publish(last, topology.events_queue("otp"), mandatory=True)
        await message.ack()
