"""JSON as bytes, fast, whatever it is given."""

import json
from collections.abc import Callable
from typing import Any

import orjson


def json_bytes(value: Any, default: Callable[[Any], Any] | None = None) -> bytes:
    """Compact JSON in UTF-8; `default` says what to write for what is none.

    Strings that are no text (lone surrogates) and numbers of more than 64 bits are left to the standard library, which
    takes many times as long (7.9 against 0.5 µs for a token's answer) and knows how to write them.
    Raises TypeError for what is no JSON, without `default`.
    """
    try:
        return orjson.dumps(value, default=default)
    except TypeError:
        return json.dumps(value, default=default, separators=(",", ":")).encode()
