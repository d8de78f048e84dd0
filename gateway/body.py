"""Request bodies, read strictly: whatever is odd about one is refused before anybody acts on it."""

import asyncio
import json
import warnings
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import BodyPartReader, MultipartReader, StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.multipart import BadContentDispositionHeader, BadContentDispositionParam
from aiohttp.web_exceptions import HTTPRequestEntityTooLarge

from shared import context

MAX_BODY_BYTES = 64 * 1024

_MAX_FIELDS = 100
_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"
_CHARSETS = ("utf-8", "utf8", "us-ascii")


class BodyError(Exception):
    """The body cannot be read. `status` is 400, 408, 413 or 415; the reason is safe to show."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


async def read_fields(
    request: web.Request, *, any_label: bool = False, multipart: bool = False, empty: bool = False
) -> dict[str, Any]:
    """The fields of a JSON object or a form, by the Content-Type; without one the body is JSON.

    A form that begins with a brace is read as JSON: curl labels `--data '{…}'` a form, and no form begins so.
    `any_label` reads what begins like JSON as JSON whatever its label, and what has no label and begins otherwise as a
    form. `multipart` also takes multipart/form-data with nothing but text in it (RFC 7578). `empty`: no body is no
    fields, whatever its label.
    Raises `BodyError` for: another media type or charset, a compressed body, one that does not arrive in the request's
    time, more than 64 KiB, not UTF-8, not an object, a repeated key, nesting past what the parser follows, NaN and
    Infinity, and any string with a NUL or a lone surrogate.
    """
    unlabelled = _FORM if any_label else _JSON
    media_type, charset = _label(request) if "Content-Type" in request.headers else (unlabelled, "utf-8")
    readable = {_JSON, _FORM, _MULTIPART} if multipart else {_JSON, _FORM}
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise BodyError(415, "The body must not be compressed")
    is_readable = charset.lower() in _CHARSETS and (any_label or media_type in readable)
    raw = await _read(request) if is_readable or empty else b""
    if empty and not raw:
        return {}
    if not is_readable:
        raise _unreadable(readable)
    if multipart and media_type == _MULTIPART:
        fields = await _parse_multipart(raw, request.headers["Content-Type"])
    else:
        text = _decoded(raw)
        if media_type == _FORM and not text.lstrip().startswith("{"):
            fields = _parse_form(text)
        elif media_type in (_JSON, _FORM) or text.lstrip().startswith(("{", "[")):
            fields = _parse_json(text)
        else:
            raise _unreadable(readable)
    texts = [*fields, *(value for value in fields.values() if isinstance(value, str))]
    if not is_clean("".join(texts)):
        raise BodyError(400, "The body has characters that are not text")
    return fields


def _label(request: web.Request) -> tuple[str, str]:
    """The media type and the charset that Content-Type names; for one that cannot be read no charset there is."""
    try:
        return request.content_type, request.charset or "utf-8"
    except Exception:  # noqa: BLE001 - the standard library's parser trips in many ways, as IndexError over `;0*`
        return "", ""


async def _read(request: web.Request) -> bytes:
    try:
        if request.content.is_eof():  # it is all there, as the bodies of most requests are: nothing to wait for
            return await request.read()
        async with asyncio.timeout(context.remaining()):
            return await request.read()
    except TimeoutError:
        raise BodyError(408, "The body did not arrive in time") from None
    except HTTPRequestEntityTooLarge:
        raise BodyError(413, "The body is larger than 64 KiB") from None
    except (web.RequestPayloadError, ConnectionError, ValueError, EOFError):  # broken, or broken off
        raise BodyError(400, "The body cannot be read") from None


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise BodyError(400, "The body is not UTF-8") from None


def _unreadable(readable: set[str]) -> BodyError:
    kinds = "JSON, a form or multipart/form-data" if _MULTIPART in readable else "JSON or a form"
    return BodyError(415, f"The body must be {kinds}, in UTF-8")


def is_clean(text: str) -> bool:
    """Whether a string can be stored and sent on: no NUL, no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in text


def _parse_form(text: str) -> dict[str, Any]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except (ValueError, UnicodeError):
        raise BodyError(400, "The form cannot be read") from None
    return _without_repeats(pairs)


async def _parse_multipart(raw: bytes, content_type: str) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    stream = StreamReader(BaseProtocol(loop), MAX_BODY_BYTES, loop=loop)
    stream.feed_data(raw)
    stream.feed_eof()
    pairs: list[tuple[str, Any]] = []
    try:
        # Nothing below waits, since the body is all there: the warnings that are silenced are these alone.
        with warnings.catch_warnings():
            for warning in (BadContentDispositionHeader, BadContentDispositionParam):
                warnings.simplefilter("ignore", warning)
            reader = MultipartReader({"Content-Type": content_type}, stream)
            while (part := await reader.next()) is not None and len(pairs) <= _MAX_FIELDS:
                pairs.append(await _text_field(part))
    except BodyError:
        raise
    except Exception:  # noqa: BLE001 - the reader names no set of errors, and bad input is all that it can meet
        raise BodyError(400, "The multipart body cannot be read") from None
    if len(pairs) > _MAX_FIELDS:
        raise BodyError(400, "The multipart body cannot be read")
    return _without_repeats(pairs)


async def _text_field(part: MultipartReader | BodyPartReader) -> tuple[str, str]:
    if isinstance(part, MultipartReader) or part.filename is not None or not part.name:
        raise BodyError(400, "Every part of the body must be a named text field")
    encoding = part.headers.get("Content-Transfer-Encoding", "binary").lower()
    if encoding not in ("binary", "8bit", "7bit") or part.get_charset("utf-8").lower() not in _CHARSETS:
        raise BodyError(415, "Every part of the body must be plain UTF-8")
    return part.name, _decoded(await part.read())


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
