"""What a transport carries: bytes and the few words around them. The broker and its twin carry the same."""

from typing import NamedTuple
from uuid import UUID


class RequestFrame(NamedTuple):
    """A call on its way; its caller waits `budget` seconds from `sent_at` (epoch seconds by its own clock).

    `traceparent` is where the caller stands in its trace, "" where nothing is traced.
    """

    subject: str
    body: bytes
    caller: str
    request_id: str
    budget: float
    sent_at: float
    redelivered: bool = False
    traceparent: str = ""


class ReplyFrame(NamedTuple):
    """The way back: the reply's JSON, or the error's."""

    ok: bool
    body: bytes


class EventFrame(NamedTuple):
    """An event on its way. `id` is the same at every delivery; `attempt` counts from 1.

    `traceparent` is the trace of the change that it tells of, "" where that was not traced.
    """

    id: UUID
    subject: str
    body: bytes
    request_id: str
    attempt: int = 1
    traceparent: str = ""


def seconds_left(budget: float, sent_at: float, now: float) -> float:
    """How long the caller still waits for a message that it sent at `sent_at` and that arrives `now`.

    The broker drops a message whose budget passed in the queue, so a transit time outside 0…budget can only come
    from two clocks that disagree: then it is left out rather than believed.
    """
    transit = now - sent_at
    return budget - transit if 0 <= transit <= budget else budget
