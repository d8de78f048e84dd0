"""Components and commands of a version that does not exist yet: `python -m tests.faults.next_version token`.

It is today's code, in whose contracts every call, reply, event and part of one has an optional field more, which is
filled in whatever this version writes. In the end the process logs what it has written and read: `Tally`.
"""

import importlib
import json
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal
from unittest.mock import patch

import pydantic
from pydantic import ConfigDict, Field, ValidationInfo, field_serializer, model_validator

FIELD = "since_the_next_version"
Kind = Literal["Call", "Reply", "Event"]

_TOLD = "messages of the next version"
_counts: Counter[str] = Counter()


class Addition(pydantic.BaseModel):
    """What the next version has to say more; an object with a list in it, as a reader may find anything there."""

    model_config = ConfigDict(frozen=True)

    note: str = "more than yesterday ✓"
    numbers: tuple[int, ...] = (1, 2)


class Grown(pydantic.BaseModel):
    """What messages of the next version are derived from."""

    model_config = ConfigDict(frozen=True)

    since_the_next_version: Addition | None = Field(default_factory=Addition)

    @field_serializer(FIELD, when_used="json")
    def _note_written(self, value: Addition | None) -> Addition | None:
        _counts[f"{_kind(type(self))} written"] += 1
        return value

    @model_validator(mode="after")
    def _note_read(self, info: ValidationInfo) -> "Grown":
        if info.mode == "json":  # otherwise it was made here
            of = "next" if FIELD in self.model_fields_set else "today"
            _counts[f"{_kind(type(self))} read of {of}"] += 1
        return self


class Tally:
    """What the processes of the next version, whose lines of log these are, have written and read in all."""

    def __init__(self, lines: Iterable[dict[str, Any]]) -> None:
        self._counts: Counter[str] = Counter()
        for line in lines:
            if line.get("event") == _TOLD:
                self._counts.update(line["counts"])

    def read(self, kind: Kind, of: Literal["today", "next"]) -> int:
        """How many messages they have read that this version had written."""
        return self._counts[f"{kind} read of {of}"]

    def read_by_today(self, kind: Kind) -> int:
        """How many messages of theirs today's version has read, since they themselves have not."""
        return self._counts[f"{kind} written"] - self.read(kind, "next")


def grow() -> None:
    """Have the contracts of this process be the next version's; before anybody has imported today's."""
    assert "shared.bus.messages" not in sys.modules, "too late: today's contracts are known already"
    with patch.object(pydantic, "BaseModel", Grown):
        importlib.import_module("shared.bus.messages")


def _kind(message: type[Any]) -> str:
    return next(base.__name__ for base in message.__mro__ if base.__name__ in {"Call", "Reply", "Event", "Message"})


def _main(words: list[str]) -> None:
    """Run a component, or any command of the operators."""
    components = importlib.import_module("cli.components")  # only now, when the contracts have grown
    if words[0] in components.COMPONENTS:
        importlib.import_module("shared.process").run([components.component(words[0])])
    else:
        importlib.import_module("cli.main").main(words, standalone_mode=False)


if __name__ == "__main__":
    grow()
    _main(sys.argv[1:])
    print(json.dumps({"event": _TOLD, "counts": _counts}))  # noqa: T201 - a line of the component's log
