r"""Several calls in one message, and several replies: how a group looks on the wire.

A line of JSON says what is in the group, one list for each item, and the items' own documents follow it as they are:

    [["1f","otp.issue_code.v1","<request id>",2.9,1767268800000,112],…]\n{…}{…}

A call that is traced has its `traceparent` behind the rest. An item's document is not looked at here, so that one that
cannot be read is its own caller's trouble alone.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import orjson

from shared.bus.frames import ReplyFrame, RequestFrame

T = TypeVar("T")

MAX_ITEMS = 64
"""Of 128 calls at once each takes 51 µs of Python in groups of so many, and 61 in groups of 32."""

MAX_BYTES = 128 * 1024
"""A group that is larger with its next item goes without it."""


def portions(items: Iterable[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """The items in their order, in groups that are neither too many nor too large; `size` tells an item's bytes."""
    portion: list[T] = []
    total = 0
    for item in items:
        if portion and (len(portion) == MAX_ITEMS or total + size(item) > MAX_BYTES):
            yield portion
            portion, total = [], 0
        portion.append(item)
        total += size(item)
    if portion:
        yield portion


def encode_calls(calls: Sequence[tuple[str, RequestFrame]]) -> bytes:
    """A group of calls by the same caller to the same service."""
    return _join([_item(call_id, frame) for call_id, frame in calls], [frame.body for _, frame in calls])


def _item(call_id: str, frame: RequestFrame) -> list[Any]:
    item = [call_id, frame.subject, frame.request_id, frame.budget, round(frame.sent_at * 1000), len(frame.body)]
    return [*item, frame.traceparent] if frame.traceparent else item


def decode_calls(group: bytes, caller: str, *, redelivered: bool) -> list[tuple[str, RequestFrame]]:
    """The calls of a group with their ids; raises ValueError for what is no group."""
    try:
        calls = [
            (
                str(call_id),
                RequestFrame(
                    subject=str(subject),
                    body=body,
                    caller=caller,
                    request_id=str(request_id),
                    budget=float(budget),
                    sent_at=sent_at_ms / 1000,
                    redelivered=redelivered,
                    traceparent=str(more[0]) if more else "",
                ),
            )
            # The star: a newer caller may say more of a call, and one of the version before says less.
            for (call_id, subject, request_id, budget, sent_at_ms, _length, *more), body in _split(group, 5)
        ]
    except (TypeError, ValueError, LookupError) as error:
        raise ValueError(f"not a group of calls: {error}") from None
    if not calls:
        raise ValueError("a group of no calls")
    return calls


def encode_replies(replies: Sequence[tuple[str, ReplyFrame]]) -> bytes:
    """A group of replies to the same caller."""
    index = [(call_id, "reply" if reply.ok else "error", len(reply.body)) for call_id, reply in replies]
    return _join(index, [reply.body for _, reply in replies])


def decode_replies(group: bytes) -> list[tuple[str, ReplyFrame]]:
    """The replies of a group with the ids of their calls; raises ValueError for what is no group."""
    try:
        return [(call_id, ReplyFrame(kind == "reply", body)) for (call_id, kind, _length, *_), body in _split(group, 2)]
    except (TypeError, ValueError, LookupError) as error:
        raise ValueError(f"not a group of replies: {error}") from None


def _join(index: Sequence[Sequence[Any]], bodies: Sequence[bytes]) -> bytes:
    return b"".join((orjson.dumps(index), b"\n", *bodies))


def _split(group: bytes, length_at: int) -> Iterator[tuple[list[Any], bytes]]:
    line, _, bodies = group.partition(b"\n")
    start = 0
    for item in orjson.loads(line):
        end = start + item[length_at]
        yield item, bodies[start:end]
        start = end
    if start != len(bodies):
        raise ValueError(f"{len(bodies)} bytes where {start} were announced")
