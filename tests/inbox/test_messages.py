"""Reading the inbox: order, filters, waiting, what survives a restart, and the page."""

import asyncio
import base64
import hashlib
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiosmtplib
import pytest

from .conftest import SENDER, Inbox, mail

pytestmark = pytest.mark.asyncio


async def test_newest_first_and_limited(inbox: Inbox) -> None:
    """Messages come newest first, and `limit` keeps the newest."""
    for text in ("first", "second", "third"):
        await inbox.send(mail(text), "foo@bar.com")
    assert [message["text"] for message in await inbox.messages("limit=2")] == ["third", "second"]


async def test_filter_by_recipient(inbox: Inbox) -> None:
    """`to` finds an address in any letter case, and a plus sign whether escaped or not."""
    await inbox.send(mail(), "foo+tag@bar.com", "other@bar.com")
    await inbox.send_sms({"To": "+6421345678", "From": "+6400", "Body": "123456"})
    assert [message["to"] for message in await inbox.messages("to=FOO%2Btag@Bar.com")] == ["foo+tag@bar.com"]
    assert [message["to"] for message in await inbox.messages("to=foo+tag@bar.com")] == ["foo+tag@bar.com"]
    for query in ("to=%2B6421345678", "to=+6421345678", "to=%206421345678"):
        assert [message["to"] for message in await inbox.messages(query)] == ["+6421345678"]
    assert await inbox.messages("to=6421345678") == []


async def test_wait_answers_when_the_message_arrives(inbox: Inbox) -> None:
    """A reader who waits gets the message to that recipient when it arrives, and not one to another."""
    reader = asyncio.create_task(inbox.messages("to=foo@bar.com&wait=30"))
    await inbox.send(mail("not yours"), "other@bar.com")
    assert not reader.done()
    await inbox.send(mail("yours"), "foo@bar.com")
    assert [message["text"] for message in await asyncio.wait_for(reader, 10)] == ["yours"]


async def test_wait_for_the_message_after_a_known_one(inbox: Inbox) -> None:
    """With `after` a reader waits for the next message, even if it repeats an earlier Message-ID."""
    await inbox.send(mail("first", message_id="<same@example.com>"), "foo@bar.com")
    [first] = await inbox.messages("to=foo@bar.com&wait=30")
    reader = asyncio.create_task(inbox.messages(f"to=foo@bar.com&wait=30&after={first['number']}"))
    await inbox.send(mail("second", message_id="<same@example.com>"), "foo@bar.com")
    assert [message["text"] for message in await asyncio.wait_for(reader, 10)] == ["second"]


async def test_wait_ends_empty(inbox: Inbox) -> None:
    """When nothing arrives in time, the answer is an empty list."""
    assert await inbox.messages("wait=0.05") == []


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "wait=31", "wait=nan", "after=-1", "tp=foo@bar.com"])
async def test_wrong_parameters_are_refused(inbox: Inbox, query: str) -> None:
    """A wrong or unknown parameter is a 400 that names it."""
    async with inbox.http.get(f"/messages.json?{query}") as response:
        assert response.status == 400
        assert query.split("=", maxsplit=1)[0] in (await response.json())["error"]


async def test_delete_empties_the_inbox(inbox: Inbox) -> None:
    """Deleting empties the inbox, and `after` still works for what comes next."""
    await inbox.send(mail("old"), "foo@bar.com")
    [old] = await inbox.messages()
    async with inbox.http.delete("/messages.json") as response:
        assert response.status == 204
    assert await inbox.messages() == []
    await inbox.send(mail("new"), "foo@bar.com")
    assert [message["text"] for message in await inbox.messages(f"after={old['number']}")] == ["new"]


async def test_a_directory_keeps_messages_over_a_restart(
    start_inbox: Callable[..., Awaitable[Inbox]], tmp_path: Path
) -> None:
    """With a directory, e-mails and text messages are the same after a restart, even after a torn write."""
    first = await start_inbox("--directory", str(tmp_path / "inbox"))
    await first.send(mail("Grüße 123456"), "foo@bar.com")
    await first.send_sms({"To": "+6421345678", "From": "+6400", "Body": "654321"})
    before = await first.messages()
    assert await first.stop() == 0
    with (tmp_path / "inbox" / "messages.jsonl").open("a") as file:
        file.write('{"number": 1, "id"')

    second = await start_inbox("--directory", str(tmp_path / "inbox"))
    assert await second.messages() == before
    await second.send(mail("later"), "foo@bar.com")
    assert [message["text"] for message in await second.messages(f"after={before[0]['number']}")] == ["later"]


async def test_only_the_newest_thousand_are_kept(start_inbox: Callable[..., Awaitable[Inbox]], tmp_path: Path) -> None:
    """The inbox and its file keep the newest 1,000 messages."""
    inbox = await start_inbox("--directory", str(tmp_path))
    recipients = [f"user{number}@example.com" for number in range(100)]
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=inbox.smtp_port) as client:
        for batch in range(21):
            await client.send_message(mail(f"batch {batch}"), sender=SENDER, recipients=recipients)
    messages = await inbox.messages("limit=1000&after=0")
    assert (len(messages), messages[0]["text"], messages[-1]["text"]) == (1000, "batch 20", "batch 11")
    assert len((tmp_path / "messages.jsonl").read_text().splitlines()) == 1000


async def test_it_stops_at_once_with_open_connections(inbox: Inbox) -> None:
    """SIGTERM ends the inbox cleanly and at once, also while somebody waits and an SMTP client is connected."""
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=inbox.smtp_port) as client:
        await client.ehlo()
        reader = asyncio.create_task(inbox.messages("wait=30"))
        await inbox.messages()
        assert await asyncio.wait_for(inbox.stop(), 5) == 0
        await asyncio.wait([reader])
        assert reader.exception() is not None
        client.close()


async def test_livez(inbox: Inbox) -> None:
    """A script that starts the inbox can ask whether it is up."""
    async with inbox.http.get("/livez") as response:
        assert response.status == 200


async def test_the_page_cannot_run_what_a_message_contains(inbox: Inbox) -> None:
    """HTML in a message stays text: JSON is not sniffed, and the page runs only its own script and style."""
    await inbox.send(mail("<script>alert(1)</script>"), "foo@bar.com")
    async with inbox.http.get("/messages.json") as response:
        assert response.content_type == "application/json"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert (await response.json())[0]["text"] == "<script>alert(1)</script>"
    async with inbox.http.get("/") as response:
        page = await response.text()
        policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for element in ("script", "style"):
        [content] = re.findall(rf"<{element}>(.*?)</{element}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(| on\w+=", page)
    assert not re.search(r"(src|href)=\"?(https?:)?//", page)


async def test_the_page_says_what_it_is(inbox: Inbox) -> None:
    """The page says that it is for development only and how to get a first message."""
    async with inbox.http.get("/") as response:
        page = await response.text()
    assert "For development only" in page
    assert "127.0.0.1" in page
    assert "curl $URL/otp/send" in page
