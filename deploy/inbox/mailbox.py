"""Keeps the newest messages, in memory or in one file, and lets readers wait for the next one."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Literal

from deploy.inbox.pulse import Pulse

KEPT_MESSAGES = 1000
DEFAULT_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one recipient; `number` is its place in the order of arrival, `sent_at` is RFC 3339 in UTC."""

    number: int
    id: str
    channel: Literal["email", "sms"]
    to: str
    subject: str
    text: str
    sent_at: str


@dataclass(frozen=True, slots=True)
class Query:
    """Which messages a reader wants: to this recipient, after this number, at most `limit`."""

    to: str | None = None
    after: int = 0
    limit: int = DEFAULT_LIMIT

    def matches(self, message: Message) -> bool:
        """Tells whether the reader wants this message; letter case in the recipient is ignored."""
        return message.number > self.after and (self.to is None or self.to.casefold() == message.to.casefold())


class Mailbox:
    """Keeps the newest `KEPT_MESSAGES` messages.

    `clock` gives the current time in UTC. With `file`, messages are read from that JSON Lines file and appended to it;
    lines that a crash left unreadable are skipped. Raises OSError when the file cannot be read or written.
    """

    def __init__(self, clock: Callable[[], datetime], file: Path | None = None) -> None:
        self._clock = clock
        self._file = file
        self._lines_in_file = 0
        self._messages: deque[Message] = deque(_read(file) if file else (), maxlen=KEPT_MESSAGES)
        self._last_number = self._messages[-1].number if self._messages else 0
        self._arrived = Pulse()
        self._rewrite()

    def add(
        self, channel: Literal["email", "sms"], message_id: str, recipients: Iterable[str], subject: str, text: str
    ) -> None:
        """Keeps one message for each recipient and wakes those who wait for it."""
        added = [self._message(channel, message_id, recipient, subject, text) for recipient in recipients]
        self._messages.extend(added)
        self._append(added)
        self._arrived.fire()

    def find(self, query: Query) -> list[Message]:
        """Returns the matching messages, newest first."""
        return list(islice(filter(query.matches, reversed(self._messages)), query.limit))

    async def wait(self, query: Query, seconds: float) -> list[Message]:
        """Returns the matching messages, newest first, as soon as there is one; none after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                while not (found := self.find(query)):
                    await self._arrived.wait()
                return found
        except TimeoutError:
            return []

    def clear(self) -> None:
        """Forgets all messages."""
        self._messages.clear()
        self._rewrite()

    def _message(
        self, channel: Literal["email", "sms"], message_id: str, recipient: str, subject: str, text: str
    ) -> Message:
        now = self._clock()
        # Counting in microseconds of the clock keeps numbers growing over a restart of an emptied inbox too.
        self._last_number = max(self._last_number + 1, int(now.timestamp() * 1_000_000))
        sent_at = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return Message(self._last_number, message_id, channel, recipient, subject, text, sent_at)

    def _append(self, messages: list[Message]) -> None:
        if self._file is None:
            return
        if self._lines_in_file + len(messages) > 2 * KEPT_MESSAGES:
            self._rewrite()
            return
        with self._file.open("a", encoding="ascii") as file:
            file.writelines(map(_line, messages))
        self._lines_in_file += len(messages)

    def _rewrite(self) -> None:
        if self._file is None:
            return
        # A rename leaves either the old file or the new one, whenever the process dies.
        fresh = self._file.with_suffix(".new")
        with fresh.open("w", encoding="ascii") as file:
            file.writelines(map(_line, self._messages))
        fresh.replace(self._file)
        self._lines_in_file = len(self._messages)


def _line(message: Message) -> str:
    return json.dumps(asdict(message)) + "\n"


def _read(file: Path) -> Iterable[Message]:
    if not file.exists():
        return
    with file.open(encoding="ascii", errors="replace") as lines:
        for line in lines:
            try:
                yield Message(**json.loads(line))
            except (ValueError, TypeError):
                continue
