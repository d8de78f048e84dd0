"""The words in which the tables describe a path."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

Schema = Mapping[str, Any]
Proof = Literal["bearer", "client", "user"]

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"

STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
BOOLEAN: Schema = {"type": "boolean"}
UUID: Schema = {"type": "string", "format": "uuid"}
MOMENT: Schema = {"type": "string", "format": "date-time"}
ANYTHING: Schema = {"type": "object"}


def constant(value: Any) -> Schema:
    """The value and no other."""
    return {"const": value}


def one_of(*words: str) -> Schema:
    """One of these words."""
    return {"type": "string", "enum": list(words)}


def nullable(schema: Schema) -> Schema:
    """Null, too."""
    return {"anyOf": [schema, {"type": "null"}]}


def array(items: Schema) -> Schema:
    """Any number of these."""
    return {"type": "array", "items": items}


def record(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    """An object with these keys and no others."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def mapping(values: Schema) -> Schema:
    """An object with any keys."""
    return {"type": "object", "additionalProperties": values}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One path by one method.

    - `does`: what for, in one sentence; `more` is what else a client has to know.
    - `query`: the parameters that its query may have, each with what it says.
    - `body`: what it takes, as a wire model, or as a schema where the handler reads fields by hand; None for no body.
    - `example`: a body that a first attempt could send.
    - `body_optional`: an empty body is one without fields.
    - `multipart`: it takes multipart/form-data beside JSON and forms.
    - `answer`: the schema of a 200, or None for an answer without body; `status` is 204 in most of those.
    - `moves`: where a 302 sends the browser; with the status 302 there is no other answer.
    - `headers`: what the answer carries in its headers.
    - `answers_as`: the media types that the answer can have.
    - `refusals`: what each status says beside those that every path has.
    - `errors`: the body of a refusal that is not in the dialect's usual form, by its status.
    - `proof`: who has to prove themselves: by an access token, as a client, or by an access token of a user.
    """

    does: str
    more: str = ""
    query: Mapping[str, str] | None = None
    body: type[BaseModel] | Schema | None = None
    example: Mapping[str, Any] | None = None
    body_optional: bool = False
    multipart: bool = False
    answer: Schema | None = None
    status: int = 200
    moves: str = ""
    headers: Mapping[str, str] | None = None
    answers_as: tuple[str, ...] = (JSON,)
    refusals: Mapping[int, str] | None = None
    errors: Mapping[int, Schema] | None = None
    proof: Proof | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One dialect: how it says that something went wrong, and its operations by method and path.

    The method `*` stands for every one.
    """

    name: str
    title: str
    about: str
    error: Schema
    operations: Mapping[tuple[str, str], Operation]
