"""Codes on their way: providers that fail, repeat, refuse, and what is left behind."""

import asyncio
import socket
from datetime import timedelta
from email.message import EmailMessage
from uuid import UUID

import asyncpg
import pytest
from aiosmtpd.smtp import SMTP as SmtpProtocol
from redis.asyncio import Redis
from structlog.testing import capture_logs

from deploy.inbox.faults import Faults
from services.otp.repository import Deliveries
from shared.bus.outbox import Outbox
from shared.entropy import SystemEntropy
from shared.postgres import Database
from tests.integration.otp.conftest import ACCOUNT, EMAIL, PHONE, Otp, Platform, code_in, eventually, other_than


async def _rows(otp: Otp) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(otp.platform.settings["DRAGOMAN_POSTGRES_URL"])
    try:
        return await connection.fetch("SELECT * FROM otp.deliveries ORDER BY requested_at")
    finally:
        await connection.close()


async def test_a_mail_server_that_is_busy_gets_the_message_once(otp: Otp) -> None:
    """A temporary refusal (greylisting, for example) delays the code; it arrives once and works."""
    otp.platform.switch.set(Faults(smtp="tempfail"))
    await otp.issue()
    await otp.delivered("deferred", 2)
    otp.platform.switch.set(Faults())
    code = await otp.code()
    await otp.delivered("sent")
    assert len(otp.received()) == 1
    assert await otp.check(code) == "ok"
    (row,) = await _rows(otp)
    assert (row["state"], row["claimed_until"]) == ("sent", None)
    assert row["attempts"] >= 3


async def test_a_mail_server_that_is_down_gets_the_message_later(platform: Platform) -> None:
    """A code waits for a mail server that does not answer at all."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with platform.running(smtp_port=str(unused.getsockname()[1])) as otp:
            await otp.issue()
            await otp.delivered("deferred")
    async with platform.running() as otp:
        assert await otp.check(await otp.code()) == "ok"


async def test_a_refused_message_is_not_tried_again_and_the_next_request_sends_anew(otp: Otp) -> None:
    """After a refusal for good the person may ask again at once; the log names the reason, not the address."""
    otp.platform.switch.set(Faults(smtp="reject"))
    with capture_logs() as logs:
        await otp.issue()
        await otp.delivered("failed")
    (line,) = [line for line in logs if line["event"] == "code not delivered"]
    assert (line["to"], line["reason"]) == ("s***@example.com", "smtp 550 5.1.1")
    assert EMAIL not in str(logs)
    otp.platform.switch.set(Faults())
    await otp.issue()
    assert await otp.check(await otp.code()) == "ok"
    assert [row["state"] for row in await _rows(otp)] == ["failed", "sent"]


async def test_an_sms_that_the_provider_refuses_is_not_tried_again(otp: Otp) -> None:
    """A number that does not exist costs one attempt."""
    otp.platform.switch.set(Faults(sms="http400"))
    with capture_logs() as logs:
        await otp.issue(address=PHONE, channel="sms")
        await otp.delivered("failed", channel="sms")
    (line,) = [line for line in logs if line["event"] == "code not delivered"]
    assert (line["to"], line["reason"]) == ("+49*********78", "http 400, code 21211")


@pytest.mark.parametrize("fault", ["http500", "drop"])
async def test_an_sms_provider_in_trouble_gets_the_message_once(otp: Otp, fault: str) -> None:
    """A provider that fails, or whose answer is lost, is asked again, and the person gets one message."""
    otp.platform.switch.set(Faults.model_validate({"sms": fault}))
    await otp.issue(address=PHONE, channel="sms")
    await otp.delivered("deferred", channel="sms")
    otp.platform.switch.set(Faults())
    await otp.delivered("sent", channel="sms")
    (message,) = otp.received(PHONE)
    assert await otp.check(code_in(message)) == "ok"


async def test_a_mail_sent_twice_can_be_told_by_its_id(otp: Otp) -> None:
    """When the mail server's answer is lost the message comes again, as the same message with the same code."""
    otp.platform.switch.set(Faults(smtp="drop_after_data"))
    await otp.issue()
    await otp.delivered("deferred")
    otp.platform.switch.set(Faults())
    await otp.delivered("sent")
    messages = otp.received()
    assert len(messages) >= 2
    assert len({(message.id, code_in(message)) for message in messages}) == 1


async def test_a_repeated_event_is_not_sent_again(otp: Otp) -> None:
    """The broker may deliver an event twice; the person gets one message."""
    await otp.issue()
    await otp.delivered("sent")
    (row,) = await _rows(otp)
    deliveries = _deliveries(otp)
    async with deliveries.database as database:
        kept = Deliveries(database, Outbox("otp", SystemEntropy()))
        now = otp.platform.clock.now()
        assert await kept.claim(row["event_id"], now, now + timedelta(seconds=15)) is None


async def test_a_code_that_expired_on_its_way_is_not_sent(otp: Otp) -> None:
    """Nobody gets a code that is dead on arrival."""
    otp.platform.switch.set(Faults(smtp="tempfail"))
    await otp.issue()
    await otp.delivered("deferred")
    otp.platform.clock.advance(600)
    otp.platform.switch.set(Faults())
    await otp.delivered("expired")
    assert not otp.received()


async def test_a_code_that_was_replaced_on_its_way_is_not_sent(otp: Otp) -> None:
    """When the mail server is back, only the code that counts arrives."""
    otp.platform.switch.set(Faults(smtp="tempfail"))
    await otp.issue()
    await otp.delivered("deferred")
    otp.platform.clock.advance(61)
    await otp.issue()
    await otp.delivered("superseded")
    otp.platform.switch.set(Faults())
    await otp.delivered("sent")
    (message,) = otp.received()
    assert await otp.check(code_in(message)) == "ok"
