"""The real inbox process, and the real clients that talk to it."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiosmtplib
import pytest_asyncio
from aiohttp import ClientSession, encode_basic_auth

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 20.0
SENDER = "platform@example.com"


@dataclass(frozen=True)
class Inbox:
    """A running inbox process and an HTTP session to it."""

    process: asyncio.subprocess.Process
    http: ClientSession
    smtp_port: int

    async def messages(self, query: str = "") -> list[dict[str, Any]]:
        """The answer to GET /messages.json."""
        async with self.http.get(f"/messages.json?{query}") as response:
            assert response.status == 200, await response.text()
            answer: list[dict[str, Any]] = await response.json()
            return answer

    async def put_faults(self, **faults: str) -> None:
        """Switches these faults on and all others off."""
        async with self.http.put("/faults", json=faults) as response:
            assert response.status == 200, await response.text()

    async def send(self, message: EmailMessage | bytes, *recipients: str) -> None:
        """Sends an e-mail by SMTP; raises what aiosmtplib raises."""
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=self.smtp_port) as client:
            if isinstance(message, bytes):
                await client.sendmail(SENDER, recipients, message)
            else:
                await client.send_message(message, sender=SENDER, recipients=recipients)

    async def send_sms(self, form: dict[str, str], **headers: str) -> tuple[int, dict[str, Any]]:
        """Sends a text message; returns the status and the answer."""
        headers = {"Authorization": encode_basic_auth("AC1", "secret")} | headers
        async with self.http.post("/sms/Messages.json", data=form, headers=headers) as response:
            return response.status, await response.json()

    async def stop(self) -> int:
        """Ends the process as an operator would; returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), DEADLINE_SECONDS)


@asynccontextmanager
async def running_inbox(*options: str) -> AsyncIterator[Inbox]:
    """Runs the inbox on free ports; it is gone afterwards."""
    command = [sys.executable, "-m", "deploy.inbox", "--http-port", "0", "--smtp-port", "0", *options]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), DEADLINE_SECONDS)).decode()
        addresses = dict(part.split("=", 1) for part in line.split()[1:])
        smtp_port = urlsplit(addresses["smtp"]).port
        assert smtp_port is not None
        async with ClientSession(base_url=addresses["http"]) as http:
            yield Inbox(process, http, smtp_port)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest_asyncio.fixture
async def inbox() -> AsyncIterator[Inbox]:
    """An empty inbox that keeps its messages in memory."""
    async with running_inbox() as running:
        yield running


@pytest_asyncio.fixture
async def start_inbox() -> AsyncIterator[Callable[..., Awaitable[Inbox]]]:
    """Starts inboxes with the given options; all are gone after the test."""
    async with AsyncExitStack() as stack:

        async def start(*options: str) -> Inbox:
            return await stack.enter_async_context(running_inbox(*options))

        yield start


def mail(text: str = "Your code is 123456", **headers: str) -> EmailMessage:
    """An e-mail with this text; keyword `message_id` stands for the header Message-ID."""
    message = EmailMessage()
    message["Subject"] = "Sign in"
    for name, value in headers.items():
        del message[name.replace("_", "-")]
        message[name.replace("_", "-")] = value
    message.set_content(text)
    return message
