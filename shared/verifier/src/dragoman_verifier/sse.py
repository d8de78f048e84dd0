"""Server-sent events (WHATWG HTML §9.2), as far as the revocation feed uses them: lines end with LF or CRLF."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from dragoman_verifier.web import Unusable

_MOST_BYTES = 1 << 16


@dataclass(slots=True)
class Event:
    """One event; `id` is None where the server gave none."""

    name: str = "message"
    data: str = ""
    id: str | None = None


@dataclass(slots=True)
class Parser:
    """Turns bytes as they come into events."""

    _rest: bytes = b""
    _lines: list[str] = field(default_factory=list)
    _bytes: int = 0

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that `chunk` completes.

        Raises Unusable at an event above 64 KiB or bytes that are not UTF-8.
        """
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._bound(len(line))
            text = _decoded(line.removesuffix(b"\r"))
            if text:
                self._lines.append(text)
                continue
            event = _event(self._lines)
            self._lines, self._bytes = [], 0
            if event is not None:
                yield event
        if len(self._rest) > _MOST_BYTES:
            raise Unusable("an event of the feed is too large")

    def _bound(self, size: int) -> None:
        self._bytes += size
        if self._bytes > _MOST_BYTES:
            raise Unusable("an event of the feed is too large")


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise Unusable("the feed is not UTF-8") from None


def _event(lines: list[str]) -> Event | None:
    event, data = Event(), []
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            event.name = value
        elif name == "data":
            data.append(value)
        elif name == "id" and "\0" not in value:
            event.id = value
    if not data:
        return None  # comments, or nothing at all
    event.data = "\n".join(data)
    return event
