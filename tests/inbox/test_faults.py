"""What a sender meets when the inbox is told to misbehave."""

import asyncio

import aiosmtplib
import pytest
from aiohttp import ServerDisconnectedError

from .conftest import Inbox, mail

pytestmark = pytest.mark.asyncio

FORM = {"To": "+6421345678", "From": "+6400", "Body": "123456"}


@pytest.mark.parametrize(("fault", "code"), [("reject", 550), ("tempfail", 451)])
async def test_smtp_refuses_until_set_back(inbox: Inbox, fault: str, code: int) -> None:
    """A refused recipient gets the SMTP code and nothing is kept; set back, e-mail passes again."""
    await inbox.put_faults(smtp=fault)
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as refusal:
        await inbox.send(mail(), "foo@bar.com")
    assert [recipient.code for recipient in refusal.value.recipients] == [code]
    assert await inbox.messages() == []
    await inbox.put_faults()
    await inbox.send(mail(), "foo@bar.com")
    assert len(await inbox.messages()) == 1


async def test_smtp_drops_the_connection_after_it_kept_the_message(inbox: Inbox) -> None:
    """With drop_after_data the sender loses the connection without an answer although the message arrived."""
    await inbox.put_faults(smtp="drop_after_data")
    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await inbox.send(mail(), "foo@bar.com")
    assert len(await inbox.messages()) == 1


async def test_smtp_answers_late(inbox: Inbox) -> None:
    """With slow the sender waits for the answer although the message arrived; setting back ends the wait."""
    await inbox.put_faults(smtp="slow")
    sender = asyncio.create_task(inbox.send(mail(), "foo@bar.com"))
    assert len(await inbox.messages("wait=20")) == 1
    assert not sender.done()
    await inbox.put_faults()
    await asyncio.wait_for(sender, 10)


@pytest.mark.parametrize(("fault", "status"), [("http400", 400), ("http500", 500)])
async def test_sms_fails_until_set_back(inbox: Inbox, fault: str, status: int) -> None:
    """A failing endpoint answers in Twilio's error shape and keeps nothing; set back, the same key is sent."""
    await inbox.put_faults(sms=fault)
    key = {"Idempotency-Key": "one"}
    answered, answer = await inbox.send_sms(FORM, **key)
    assert (answered, answer["status"]) == (status, status)
    assert await inbox.messages() == []
    await inbox.put_faults()
    assert (await inbox.send_sms(FORM, **key))[0] == 201
    assert len(await inbox.messages()) == 1


async def test_sms_drops_the_connection_after_it_kept_the_message(inbox: Inbox) -> None:
    """With drop the sender gets no answer although the message arrived; a repeat with the same key sends no second."""
    await inbox.put_faults(sms="drop")
    key = {"Idempotency-Key": "one"}
    with pytest.raises(ServerDisconnectedError):
        await inbox.send_sms(FORM, **key)
    await inbox.put_faults()
    status, answer = await inbox.send_sms(FORM, **key)
    assert status == 201
    assert [message["id"] for message in await inbox.messages()] == [answer["sid"]]


async def test_sms_answers_late(inbox: Inbox) -> None:
    """With slow the sender waits for the answer although the message arrived; setting back ends the wait."""
    await inbox.put_faults(sms="slow")
    sender = asyncio.create_task(inbox.send_sms(FORM))
    assert len(await inbox.messages("wait=20")) == 1
    assert not sender.done()
    await inbox.put_faults()
    assert (await asyncio.wait_for(sender, 10))[0] == 201


@pytest.mark.parametrize("body", ['{"smtp": "explode"}', '{"fax": "slow"}', "[]", "not json", ""])
async def test_unknown_faults_are_refused(inbox: Inbox, body: str) -> None:
    """An unknown switch or fault is a 400, and the faults in force stay."""
    await inbox.put_faults(smtp="reject")
    async with inbox.http.put("/faults", data=body) as response:
        assert response.status == 400
    async with inbox.http.get("/faults") as response:
        assert await response.json() == {"smtp": "reject", "sms": None}
