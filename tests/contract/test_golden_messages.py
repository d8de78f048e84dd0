"""The wire format is what it was: services of different versions understand each other."""

from typing import Any
from uuid import UUID

import pytest

from shared.bus.messages import Message
from tests.contract import golden

MESSAGES = golden.messages()


@pytest.mark.parametrize("name", MESSAGES)
def test_todays_model_reads_and_writes_the_golden_message(name: str) -> None:
    """Every field that was ever sent is still read and written under its name and type."""
    problems = golden.breaks(golden.read(name), name, MESSAGES[name])
    assert not problems, "\n".join(problems)


def test_no_golden_message_is_left_over() -> None:
    """A message that vanished from the register is a break too: the older version still sends it."""
    files = {path.name.removesuffix(".json") for path in golden.FOLDER.glob("*.json")}
    assert files <= set(MESSAGES), f"{sorted(files - set(MESSAGES))} vanished from the contracts: {golden.LAW}"


class _Original(Message):
    id: UUID
    count: int
    note: str | None = None


class _Removed(Message):
    id: UUID
    note: str | None = None


class _Renamed(Message):
    id: UUID
    number: int = 0
    note: str | None = None


class _Retyped(Message):
    id: UUID
    count: str
    note: str | None = None


class _Widened(Message):
    id: UUID
    count: float
    note: str | None = None


class _NewRequired(_Original):
    more: str


class _MadeRequired(Message):
    id: UUID
    count: int
    note: str


class _NewOptional(_Original):
    more: str = ""


@pytest.mark.parametrize("kind", [_Removed, _Renamed, _Retyped, _Widened, _NewRequired, _MadeRequired])
def test_a_break_is_told_with_the_law(kind: type[Message]) -> None:
    """Whoever breaks the wire format reads what to do instead."""
    problems = golden.breaks(golden.examples("x", _Original), "x", kind)
    assert problems
    assert golden.LAW in problems[0]


def test_a_new_optional_field_asks_to_be_recorded() -> None:
    """What the law allows is one command away from green."""
    problems = golden.breaks(golden.examples("x", _Original), "x", _NewOptional)
    assert problems == ["x: more is new: run python -m tests.contract.golden --add"]


def test_a_new_message_asks_to_be_recorded() -> None:
    """A subject without a golden file is red."""
    nothing: dict[str, dict[str, Any]] = {}
    assert "has no golden file" in golden.breaks(nothing, "x", _Original)[0]
