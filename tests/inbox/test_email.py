"""What a developer sees of e-mails that were sent to the inbox."""

import re
from email.message import EmailMessage

import aiosmtplib
import pytest

from .conftest import SENDER, Inbox, mail

pytestmark = pytest.mark.asyncio


async def test_an_email_is_listed_with_its_fields(inbox: Inbox) -> None:
    """An e-mail is listed with recipient, subject, text, channel, Message-ID and the time in UTC."""
    await inbox.send(mail(message_id="<one@example.com>"), "foo@bar.com")
    [message] = await inbox.messages()
    assert message.pop("number") > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", message.pop("sent_at"))
    assert message == {
        "id": "<one@example.com>",
        "channel": "email",
        "to": "foo@bar.com",
        "subject": "Sign in",
        "text": "Your code is 123456",
    }


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "8bit"])
async def test_text_and_subject_are_decoded(inbox: Inbox, encoding: str) -> None:
    """Subject and text beyond ASCII are readable, whatever the transfer encoding."""
    message = EmailMessage()
    message["Subject"] = "Dein Schlüssel 🔑"
    message.set_content("Grüße: 123456\n.\nZweite Zeile", cte=encoding)
    await inbox.send(message, "foo@bar.com")
    [kept] = await inbox.messages()
    assert (kept["subject"], kept["text"]) == ("Dein Schlüssel 🔑", "Grüße: 123456\n.\nZweite Zeile")


@pytest.mark.parametrize(
    ("charset", "body", "text"),
    [
        ("iso-8859-1", b"Gr\xfc\xdfe", "Grüße"),
        ("no-such-charset", "Grüße".encode(), "Grüße"),
        ("us-ascii", b"\xff 123456", "\N{REPLACEMENT CHARACTER} 123456"),
    ],
)
async def test_other_character_sets_never_lose_a_message(inbox: Inbox, charset: str, body: bytes, text: str) -> None:
    """Old, unknown and wrong character sets still give a readable message."""
    header = f"Subject: x\r\nContent-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    await inbox.send(header.encode() + body, "foo@bar.com")
    [kept] = await inbox.messages()
    assert kept["text"] == text
    assert kept["id"]


async def test_the_plain_part_is_chosen(inbox: Inbox) -> None:
    """Of an e-mail in plain text and HTML, the plain text is listed."""
    message = mail("plain 123456")
    message.add_alternative("<b>rich 123456</b>", subtype="html")
    await inbox.send(message, "foo@bar.com")
    [kept] = await inbox.messages()
    assert kept["text"] == "plain 123456"


async def test_several_recipients_are_listed_one_by_one(inbox: Inbox) -> None:
    """An e-mail to several recipients has one entry for each, with the same Message-ID."""
    await inbox.send(mail(message_id="<one@example.com>"), "a@example.com", "b@example.com")
    messages = await inbox.messages()
    assert [(entry["to"], entry["id"]) for entry in messages] == [
        ("b@example.com", "<one@example.com>"),
        ("a@example.com", "<one@example.com>"),
    ]


async def test_a_recipient_beyond_ascii_is_found(inbox: Inbox) -> None:
    """An internationalised address is accepted and can be asked for."""
    await inbox.send(mail(), "jürgen@example.com")
    assert len(await inbox.messages("to=JÜRGEN@example.com")) == 1


async def test_any_credentials_are_accepted(inbox: Inbox) -> None:
    """A platform that is configured with SMTP credentials can use the inbox as it is."""
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=inbox.smtp_port, username="somebody", password="anything")
    async with client:
        await client.send_message(mail(), sender=SENDER, recipients=["foo@bar.com"])
    assert len(await inbox.messages()) == 1


async def test_an_email_over_one_mebibyte_is_refused(inbox: Inbox) -> None:
    """An e-mail over 1 MiB is refused for good and not kept."""
    with pytest.raises(aiosmtplib.SMTPResponseException) as refusal:
        await inbox.send(mail("x" * 70 + "\n" + ("y" * 70 + "\n") * 15_000), "foo@bar.com")
    assert refusal.value.code == 552
    assert await inbox.messages() == []
