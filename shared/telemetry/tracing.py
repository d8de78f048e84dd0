"""Traces, as the rest of the code sees them: one span for each request, call, and event. Here they do nothing.

`shared.telemetry.otlp` has those that are collected; it is imported only where a collector is named, so that nobody
else pays for it or has to install what it needs.

A trace begins at the gateway, which decides whether there is one. Everything behind it continues what came with the
message, and a message without a trace costs nothing.
"""

from collections.abc import Callable, Mapping
from contextvars import Token
from typing import Self
from uuid import UUID

from shared import context


class Span:
    """A piece of work that begins when it is entered and ends when it is left."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End, whatever came of it."""

    def answered(self, status: int, route: str | None) -> None:
        """Say how an HTTP request was answered: its status, and the template of its path, None for one that is none."""

    def came_to(self, code: str) -> None:
        """Say what came of a call or an event: "ok", "done", or the code of an error; never its words."""


NO_SPAN = Span()
_TRACEPARENT_LENGTH = 55


class _Passing(Span):
    """Hands a trace on that others began and others will continue."""

    __slots__ = ("_token", "_traceparent")

    def __init__(self, traceparent: str) -> None:
        self._traceparent = traceparent
        self._token: Token[str]

    def __enter__(self) -> Self:
        self._token = context.enter_trace(self._traceparent)
        return self

    def __exit__(self, *_: object) -> None:
        context.leave_trace(self._token)


class Tracing:
    """Begins spans. This one begins none, and only hands on what came from elsewhere."""

    def serving(self, method: str, headers: Mapping[str, str], trusted: Callable[[], bool]) -> Span:  # noqa: ARG002
        """An HTTP request at the gateway; `trusted` tells whether its sender may decide that it is traced."""
        return NO_SPAN

    def calling(self, subject: str) -> Span:  # noqa: ARG002 - those that are collected are named by it
        """A call that this component makes."""
        return NO_SPAN

    def answering(self, subject: str, traceparent: str) -> Span:  # noqa: ARG002
        """A call that this component answers; it came with `traceparent`, which may be ""."""
        return _passing(traceparent)

    def taking_in(self, subject: str, event_id: UUID, attempt: int, traceparent: str) -> Span:  # noqa: ARG002
        """An event that this component handles; it came with `traceparent`, which may be ""."""
        return _passing(traceparent)

    def close(self) -> None:
        """Send what was not sent yet; takes a few seconds at most."""


def _passing(traceparent: str) -> Span:
    # Only what can be one: from here on it is in every log line.
    return _Passing(traceparent) if len(traceparent) == _TRACEPARENT_LENGTH else NO_SPAN
