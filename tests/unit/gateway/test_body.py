"""Bodies are read strictly."""

from typing import Any

import pytest

from gateway.body import BodyError, is_clean, read_fields
from tests.unit.gateway.requests import request

FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("body", "label", "fields"),
    [
        (b'{"a": "b"}', "application/json", {"a": "b"}),
        (b'{"a": "b"}', None, {"a": "b"}),
        (b' {"a": "b"}', FORM, {"a": "b"}),
        (b"a=b+c%2B&d=", FORM, {"a": "b c+", "d": ""}),
        (b"", FORM, {}),
        (b'{"a": {"b": [null, 1, "\\ud800"]}}', "application/json", {"a": {"b": [None, 1, "\ud800"]}}),
        ('{"ä": "😀"}'.encode(), "application/json; charset=utf-8", {"ä": "😀"}),
        (b'{"a": "\\ud83d\\ude00"}', "application/json", {"a": "😀"}),
    ],
)
async def test_fields(body: bytes, label: str | None, fields: dict[str, Any]) -> None:
    """JSON and forms are read by their label, JSON also without one or labelled as a form."""
    headers = {} if label is None else {"Content_Type": label}
    assert await read_fields(request(body, **headers)) == fields


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{}", {"Content_Type": "text/plain"}, 415),
        (b"{}", {"Content_Type": "application/json; charset=latin-1"}, 415),
        (b"{}", {"Content_Encoding": "gzip"}, 415),
        (b"{" + b" " * 65_536 + b"}", {}, 413),
        (b"\xff", {}, 400),
        (b"[]", {}, 400),
        (b'{"a": 1, "a": 1}', {}, 400),
        (b'{"a": "\\u0000"}', {}, 400),
        (b'{"a": "\\ud800"}', {}, 400),
        (b"[" * 60_000, {}, 400),
        (b'{"a": NaN}', {}, 400),
        (b"a=%ff", {"Content_Type": FORM}, 400),
        (b"a=1&a=2", {"Content_Type": FORM}, 400),
        (b"&".join(b"%d=" % number for number in range(101)), {"Content_Type": FORM}, 400),
    ],
)
async def test_refused(body: bytes, headers: dict[str, str], status: int) -> None:
    """Whatever is odd about a body is refused before anybody acts on it."""
    with pytest.raises(BodyError) as refused:
        await read_fields(request(body, **headers))
    assert refused.value.status == status


@pytest.mark.parametrize(("text", "clean"), [("", True), ("ä😀", True), ("a\x00", False), ("\udfff", False)])
def test_is_clean(*, text: str, clean: bool) -> None:
    """Text that can be stored and sent on has no NUL and no lone surrogate."""
    assert is_clean(text) is clean
