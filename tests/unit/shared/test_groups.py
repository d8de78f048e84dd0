"""How calls and replies are put into one message, and taken out of it."""

import asyncio

import pytest

from shared.bus import groups
from shared.bus.frames import ReplyFrame, RequestFrame
from shared.turns import Turns

CALLS = [
    ("0", RequestFrame("otp.issue_code.v1", b'{"a":"\n"}', "identity", "request-1", 2.5, 1_767_268_800.125)),
    ("1f", RequestFrame("otp.check_code.v1", b"", "identity", "", 0.02, 0.0)),
    ("2", RequestFrame("otp.x.v1", b"\xff\n[not JSON", "identity", 'quote " and \N{SNOWMAN}', 3.0, 1.5)),
    ("3", RequestFrame("otp.x.v1", b"{}", "identity", "", 3.0, 1.5, traceparent="00-0a-0b-01")),
]


def test_calls_come_out_as_they_went_in() -> None:
    """Ids, bodies of any bytes, deadlines, requests and traces survive; the caller and the repeat are the message's."""
    assert groups.decode_calls(groups.encode_calls(CALLS), "identity", redelivered=False) == CALLS
    again = groups.decode_calls(groups.encode_calls(CALLS), "identity", redelivered=True)
    assert all(frame.redelivered for _, frame in again)


def test_replies_come_out_as_they_went_in() -> None:
    """Answers and errors, in any order."""
    replies = [("1", ReplyFrame(ok=True, body=b'{"x":1}')), ("0", ReplyFrame(ok=False, body=b""))]
    assert groups.decode_replies(groups.encode_replies(replies)) == replies


def test_what_a_newer_version_adds_is_passed_over() -> None:
    """More said of a call than this version knows does no harm."""
    assert groups.decode_calls(b'[["1","a.b.v1","r",2,0,2,"","new"]]\n{}', "token", redelivered=False) == [
        ("1", RequestFrame("a.b.v1", b"{}", "token", "r", 2.0, 0.0))
    ]
    assert groups.decode_replies(b'[["1","reply",2,{"new":1}]]\n{}') == [("1", ReplyFrame(ok=True, body=b"{}"))]


def test_the_version_before_traces_is_understood_and_understands() -> None:
    """What is not traced looks as it always did, and what is has everything in its old place."""
    call = RequestFrame("a.b.v1", b"{}", "token", "r", 2.0, 0.0)
    before = b'[["1","a.b.v1","r",2.0,0,2]]\n{}'
    assert groups.encode_calls([("1", call)]) == before
    assert groups.decode_calls(before, "token", redelivered=False) == [("1", call)]
    traced = groups.encode_calls([("1", call._replace(traceparent="00-0a-0b-01"))])
    assert traced == b'[["1","a.b.v1","r",2.0,0,2,"00-0a-0b-01"]]\n{}'


@pytest.mark.parametrize(
    "group",
    [
        b"",
        b"[]",
        b"null\n",
        b"[[]]\n",
        b"[1]\n",
        b'[["1","s","r","soon",0,0]]\n',
        b'[["1","s","r",2,0,-1]]\n',
        b"\xff\n",
    ],
)
def test_what_is_no_group_of_calls_is_a_value_error(group: bytes) -> None:
    """Whatever is wrong with it."""
    with pytest.raises(ValueError, match="group"):
        groups.decode_calls(group, "token", redelivered=False)


@pytest.mark.parametrize("group", [b"", b"7", b'[["1","reply",3]]\n{}', b'[["1","reply","2"]]\n{}'])
def test_what_is_no_group_of_replies_is_a_value_error(group: bytes) -> None:
    """Whatever is wrong with it."""
    with pytest.raises(ValueError, match="group"):
        groups.decode_replies(group)


def test_a_group_is_neither_too_many_nor_too_large() -> None:
    """The order stays, and what is too large for company goes by itself."""
    sizes = [1] * 65 + [groups.MAX_BYTES * 2, 1, groups.MAX_BYTES - 1, 1]
    portions = list(groups.portions(enumerate(sizes), lambda item: item[1]))
    assert [len(portion) for portion in portions] == [64, 1, 1, 2, 1]
    assert [number for portion in portions for number, _ in portion] == list(range(len(sizes)))
    assert list(groups.portions([], len)) == []


async def test_what_is_added_in_one_turn_is_handed_over_together() -> None:
    """By key, in order, once; what comes later goes with the next turn."""
    handed: list[tuple[str, list[int]]] = []
    turns: Turns[str, int] = Turns(lambda key, items: handed.append((key, items)))
    for number in range(3):
        turns.add("a", number)
    turns.add("b", 3)
    assert handed == []
    await asyncio.sleep(0)
    turns.add("a", 4)
    assert handed == [("a", [0, 1, 2]), ("b", [3])]
    await asyncio.sleep(0)
    assert handed[2:] == [("a", [4])]
