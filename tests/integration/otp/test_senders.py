"""The wire to the providers, against servers that note what they are told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any
from uuid import UUID

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from aiosmtpd.smtp import SMTP, Envelope, Session

from services.otp.messages import Text
from services.otp.senders import Refused
from services.otp.settings import OtpSettings
from services.otp.sms import SmsSender
from services.otp.smtp import SmtpSender
from shared.errors import Error, ErrorCode
from shared.testing import FakeClock

DELIVERY = UUID("6f1c7a52-1f0a-4b9e-9a53-0d8c2a1b7e44")
TEXT = Text("Your sign-in code", "Your sign-in code is 123456\n")


def settings(**changed: str) -> OtpSettings:
    """Settings with these changed."""
    return OtpSettings.load(
        {
            "DRAGOMAN_POSTGRES_URL": "postgres://db",
            "DRAGOMAN_REDIS_URL": "redis://cache",
            "DRAGOMAN_RABBITMQ_URL": "amqp://broker",
            "DRAGOMAN_OTP_CODE_KEY": "A" * 43,
            **{f"DRAGOMAN_OTP_{name.upper()}": value for name, value in changed.items()},
        }
    )


@dataclass
class MailServer:
    """Answers DATA and RCPT as told and keeps the messages."""

    rcpt: str = "250 OK"
    data: str = "250 OK"
    messages: list[EmailMessage] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Take a receiver or refuse it."""
        if self.rcpt.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.rcpt

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Take a message or refuse it."""
        assert isinstance(envelope.content, bytes)
        self.messages.append(message_from_bytes(envelope.content, _class=EmailMessage, policy=policy.default))
        return self.data


@asynccontextmanager
async def mail_sender(server: MailServer, **changed: str) -> AsyncIterator[SmtpSender]:
    """A sender that is connected to `server`."""
    loop = asyncio.get_running_loop()

    def session() -> SMTP:
        return SMTP(server, hostname="mail", enable_SMTPUTF8=False, loop=loop)

    listening = await loop.create_server(session, "127.0.0.1", 0)
    port = str(listening.sockets[0].getsockname()[1])
    try:
        told = {"smtp_tls": "none", "mail_from": "Platform <no-reply@example.com>"} | changed
        yield SmtpSender(settings(smtp_host="127.0.0.1", smtp_port=port, **told), FakeClock())
    finally:
        listening.close()
        await listening.wait_closed()


async def test_a_mail_says_what_it_is() -> None:
    """Mail programs see a message with an id and a date, made by a machine, so that none answers it."""
    server = MailServer()
    async with mail_sender(server) as sender:
        await sender.send(DELIVERY, "john@example.org", TEXT)
    (message,) = server.messages
    assert message["From"] == "Platform <no-reply@example.com>"
    assert message["To"] == "john@example.org"
    assert message["Message-ID"] == f"<{DELIVERY}@example.com>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"] == "Thu, 01 Jan 2026 00:00:00 +0000"
    assert message.get_content_type() == "text/plain"
    assert message.get_content().splitlines() == TEXT.body.splitlines()


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (MailServer(rcpt="550 5.1.1 <john@example.org> is unknown"), "smtp 550 5.1.1"),
        (MailServer(rcpt="553 no"), "smtp 553"),
        (MailServer(data="554 5.7.1 123456 looks like spam"), "smtp 554 5.7.1"),
    ],
)
async def test_a_refusal_for_good_is_told_in_numbers(server: MailServer, reason: str) -> None:
    """What the mail server says may repeat the address or the code, so only its numbers are kept."""
    async with mail_sender(server) as sender:
        with pytest.raises(Refused) as refused:
            await sender.send(DELIVERY, "john@example.org", TEXT)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    "server",
    [MailServer(rcpt="450 4.2.1 <john@example.org> is busy"), MailServer(data="451 4.3.0 later, 123456")],
)
async def test_a_refusal_for_now_asks_for_another_attempt(server: MailServer) -> None:
    """A temporary refusal is one of a dependency that may come back, told without the server's words."""
    async with mail_sender(server) as sender:
        with pytest.raises(Error) as failed:
            await sender.send(DELIVERY, "john@example.org", TEXT)
    assert failed.value.code == ErrorCode.UNAVAILABLE
    assert "john" not in str(failed.value)
    assert "123456" not in str(failed.value)


async def test_codes_never_travel_readable_unless_that_was_chosen() -> None:
    """With the default settings a mail server without TLS gets nothing; the operator can mend that in time."""
    server = MailServer()
    async with mail_sender(server, smtp_tls="starttls") as sender:
        with pytest.raises(Error) as failed:
            await sender.send(DELIVERY, "john@example.org", TEXT)
    assert failed.value.code == ErrorCode.UNAVAILABLE
    assert not server.messages


async def test_a_mail_server_that_refuses_us_does_not_fail_the_message() -> None:
    """A refusal of the platform itself says nothing of the receiver: the code waits until the operator mends that."""

    async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"554 5.7.1 you are on a list\r\n")
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with listening:
        port = str(listening.sockets[0].getsockname()[1])
        told = settings(smtp_host="127.0.0.1", smtp_port=port, smtp_tls="none", mail_from="no-reply@example.com")
        with pytest.raises(Error) as failed:
            await SmtpSender(told, FakeClock()).send(DELIVERY, "john@example.org", TEXT)
    assert failed.value.code == ErrorCode.UNAVAILABLE
    assert "smtp 554 5.7.1" in failed.value.message


async def test_an_address_that_the_mail_server_cannot_write_is_refused() -> None:
    """A local part in other letters than ASCII needs a server that knows them."""
    async with mail_sender(MailServer()) as sender:
        with pytest.raises(Refused):
            await sender.send(DELIVERY, "j\u00f6rg@example.org", TEXT)


@asynccontextmanager
async def sms_sender(status: int, body: str = "{}", **headers: str) -> AsyncIterator[tuple[SmsSender, list[Any]]]:
    """A sender whose provider answers in this way, and what the provider was sent."""
    seen: list[Any] = []

    async def post(request: web.Request) -> web.Response:
        seen.append((dict(request.headers), dict(await request.post())))
        return web.Response(status=status, text=body, headers=headers)

    app = web.Application()
    app.router.add_post("/Messages.json", post)
    async with TestServer(app) as server, ClientSession() as http:
        url = str(server.make_url("/Messages.json"))
        told = settings(sms_url=url, sms_from="+4930123456", sms_username="AC1", sms_password="secret")
        yield SmsSender(told, http), seen


async def test_an_sms_is_posted_as_twilio_wants_it() -> None:
    """The form, the credentials and the token by which a repeat is recognised are what the provider documents."""
    async with sms_sender(201) as (sender, seen):
        await sender.send(DELIVERY, "+4915112345678", TEXT)
    ((headers, form),) = seen
    assert form == {"To": "+4915112345678", "From": "+4930123456", "Body": TEXT.body}
    assert headers["Authorization"] == "Basic QUMxOnNlY3JldA=="
    assert headers["I-Twilio-Idempotency-Token"] == str(DELIVERY)
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, '{"code": 21211, "message": "+4915112345678 is not valid"}', "http 400, code 21211"),
        (400, '{"code": "+4915112345678"}', "http 400"),
        (404, "<html>", "http 404"),
        (403, "[]", "http 403"),
    ],
)
async def test_an_sms_refused_for_good_is_told_in_numbers(status: int, body: str, reason: str) -> None:
    """The provider's words may repeat the number, so only its codes are kept."""
    async with sms_sender(status, body) as (sender, _):
        with pytest.raises(Refused) as refused:
            await sender.send(DELIVERY, "+4915112345678", TEXT)
    assert refused.value.reason == reason


@pytest.mark.parametrize("status", [307, 408, 425, 429, 500, 503])
async def test_an_sms_provider_in_trouble_is_asked_again(status: int) -> None:
    """Overload, faults and detours may pass; the credentials follow no detour."""
    async with sms_sender(status, Location="/elsewhere") as (sender, seen):
        with pytest.raises(Error) as failed:
            await sender.send(DELIVERY, "+4915112345678", TEXT)
    assert failed.value.code == ErrorCode.UNAVAILABLE
    assert len(seen) == 1
