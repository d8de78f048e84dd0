"""Golden messages: how each call, reply and event of the register was first written on the wire.

`<subject>.json` and `<subject>.reply.json` hold the message with every field (`full`) and with the required ones alone
(`least`). What is in them never changes; `python -m tests.contract.golden --add` adds what is not in them yet.
"""

import json
import types
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel, SecretStr

from shared.bus.messages import CALLS, EVENTS, Message
from shared.contracts import identity, otp, password, providers, token  # noqa: F401 - they fill the register

FOLDER = Path(__file__).parent
LAW = (
    "inside v1 only optional fields with defaults are added; nothing is removed, renamed, retyped or made required "
    "(shared/contracts/__init__.py): write a v2 beside it instead"
)
_SCALARS: dict[Any, Any] = {
    str: "text",
    int: 7,
    float: 1.5,
    SecretStr: "secret",
    UUID: str(UUID(int=1)),
    datetime: datetime(2026, 1, 1, tzinfo=UTC).isoformat().replace("+00:00", "Z"),
    Any: "anything",
}
_EXCLUSIVE = {"identity.send_code.v1": "phone"}
"""Fields that cannot stand beside the others of their message, and are left out of its example."""


def messages() -> dict[str, type[Message]]:
    """Every message of the register, by the name of its golden file."""
    replies = {f"{subject}.reply": kind.reply for subject, kind in CALLS.items()}
    return dict(sorted({**CALLS, **replies, **EVENTS}.items()))


def examples(name: str, kind: type[Message]) -> dict[str, dict[str, Any]]:
    """Both examples of a message as today's model writes them."""
    full, least = _fields(kind, full=True), _fields(kind, full=False)
    if name in _EXCLUSIVE:
        del full[_EXCLUSIVE[name]]
        least = full
    kind.model_validate(full)
    return {"full": full, "least": least}


def read(name: str) -> dict[str, dict[str, Any]]:
    """What is in the golden file; empty without one."""
    path = FOLDER / f"{name}.json"
    found: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    return found


def breaks(golden: dict[str, dict[str, Any]], name: str, kind: type[Message]) -> list[str]:
    """What today's model does to the golden message that the law forbids, and what the file misses."""
    if not golden:
        return [f"{name} has no golden file: run python -m tests.contract.golden --add"]
    problems = []
    for which, body in golden.items():
        try:
            decoded = kind.model_validate_json(json.dumps(body))
        except ValueError as error:
            problems.append(f"{name}: the {which} golden message cannot be read any more ({error}): {LAW}")
            continue
        problems += [
            f"{name}: {path} of the {which} golden message was lost or changed: {LAW}"
            for path in _lost(body, json.loads(decoded.model_dump_json()), "")
        ]
    new = set(examples(name, kind)["full"]) - set(golden["full"])
    if new and not problems:
        problems.append(f"{name}: {', '.join(sorted(new))} is new: run python -m tests.contract.golden --add")
    return problems


def add() -> list[str]:
    """Write the missing files and fields, change nothing that is there; returns the names written to."""
    written = []
    for name, kind in messages().items():
        golden, now = read(name), examples(name, kind)
        merged = {"full": {**now["full"], **golden.get("full", {})}, "least": golden.get("least", now["least"])}
        if merged != golden:
            (FOLDER / f"{name}.json").write_text(json.dumps(merged, indent=2) + "\n")
            written.append(name)
    return written


def _lost(golden: Any, now: Any, path: str) -> list[str]:
    if isinstance(golden, dict) and isinstance(now, dict):
        return [p for key in golden for p in _lost(golden[key], now.get(key, _lost), f"{path}.{key}".lstrip("."))]
    if isinstance(golden, list) and isinstance(now, list) and len(golden) == len(now):
        return [p for n, (a, b) in enumerate(zip(golden, now, strict=True)) for p in _lost(a, b, f"{path}[{n}]")]
    return [] if golden == now and type(golden) is type(now) else [path or "all"]


def _fields(kind: type[BaseModel], *, full: bool) -> dict[str, Any]:
    return {
        name: _value(info.annotation, info.default, full=full)
        for name, info in kind.model_fields.items()
        if full or info.is_required()
    }


def _value(annotation: Any, default: Any, *, full: bool) -> Any:
    origin, arguments = get_origin(annotation), get_args(annotation)
    value: Any
    if origin is Annotated:
        value = _value(arguments[0], default, full=full)
    elif origin in (Union, types.UnionType):
        value = _value(next(argument for argument in arguments if argument is not type(None)), default, full=full)
    elif origin is Literal:
        value = next((value for value in arguments if value != default), arguments[0])
    elif origin is list:
        value = [_value(arguments[0], None, full=full)]
    elif origin is dict:
        value = {"key": _value(arguments[1], None, full=full)}
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        value = _fields(annotation, full=full)
    else:
        value = default is not True if annotation is bool else _SCALARS[annotation]
    return value
