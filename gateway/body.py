"""Request bodies, read strictly: whatever is odd about one is refused before anybody acts on it."""

import asyncio
import json
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web
from aiohttp.web_exceptions import HTTPRequestEntityTooLarge

from shared import context

MAX_BODY_BYTES = 64 * 1024

_MAX_FIELDS = 100
_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"


class BodyError(Exception):
    """The body cannot be read. `status` is 400, 408, 413 or 415; the reason is safe to show."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


async def read_fields(request: web.Request) -> dict[str, Any]:
    """The fields of a JSON object or a form, by the Content-Type; without one the body is JSON.

    A form that begins with a brace is read as JSON: curl labels `--data '{…}'` a form, and no form begins so.
    Raises `BodyError` for: another media type or charset, a compressed body, one that does not arrive in the request's
    time, more than 64 KiB, not UTF-8, not an object, a repeated key, nesting past what the parser follows, NaN and
    Infinity, and any string with a NUL or a lone surrogate.
    """
    media_type = request.content_type if "Content-Type" in request.headers else _JSON
    charset = (request.charset or "utf-8").lower()
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise BodyError(415, "The body must not be compressed")
    if media_type not in (_JSON, _FORM) or charset not in ("utf-8", "utf8", "us-ascii"):
        raise BodyError(415, "The body must be JSON or a form, in UTF-8")
    try:
        async with asyncio.timeout(context.remaining()):
            raw = await request.read()
    except TimeoutError:
        raise BodyError(408, "The body did not arrive in time") from None
    except HTTPRequestEntityTooLarge:
        raise BodyError(413, "The body is larger than 64 KiB") from None
    except (web.RequestPayloadError, ConnectionError, ValueError, EOFError):  # broken, or broken off
        raise BodyError(400, "The body cannot be read") from None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise BodyError(400, "The body is not UTF-8") from None
    is_form = media_type == _FORM and not text.lstrip().startswith("{")
    fields = _parse_form(text) if is_form else _parse_json(text)
    for name, value in fields.items():
        _check_text(name)
        if isinstance(value, str):
            _check_text(value)
    return fields


def is_clean(text: str) -> bool:
    """Whether a string can be stored and sent on: no NUL, no lone surrogate."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _check_text(text: str) -> None:
    if not is_clean(text):
        raise BodyError(400, "The body has characters that are not text")


def _parse_form(text: str) -> dict[str, Any]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except (ValueError, UnicodeError):
        raise BodyError(400, "The form cannot be read") from None
    return _without_repeats(pairs)


def _parse_json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_refuse_constant)
    except RecursionError:
        raise BodyError(400, "The JSON is nested too deeply") from None
    except ValueError:
        raise BodyError(400, "The body is not JSON") from None
    if not isinstance(value, dict):
        raise BodyError(400, "The body is not a JSON object")
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise BodyError(400, "A field is repeated")
    return fields


def _refuse_constant(_name: str) -> None:
    raise BodyError(400, "The body is not JSON")
