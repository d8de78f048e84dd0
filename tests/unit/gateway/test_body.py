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
        (b"{}", {"Content_Type": ";0*"}, 415),
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


@pytest.mark.parametrize(
    ("body", "label", "fields"),
    [
        (b'{"a": "b"}', FORM, {"a": "b"}),
        (b'\n{"a": "b"}', "text/plain", {"a": "b"}),
        (b'{"a": "b"}', "text/plain;charset=UTF-8", {"a": "b"}),
        (b'{"a": "b"}', "", {"a": "b"}),
        (b'{"a": "b"}', None, {"a": "b"}),
        (b"a=b", FORM, {"a": "b"}),
        (b"a=b", None, {"a": "b"}),
        (b"", None, {}),
        (b"", FORM, {}),
    ],
)
async def test_any_label(body: bytes, label: str | None, fields: dict[str, Any]) -> None:
    """Where the label means nothing, what begins like JSON is JSON, and all else has to be a form."""
    headers = {} if label is None else {"Content_Type": label}
    assert await read_fields(request(body, **headers), any_label=True) == fields


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"a=b", {"Content_Type": "application/json"}, 400),
        (b"a=b", {"Content_Type": "text/plain"}, 415),
        (b'{"a": "b"}', {"Content_Type": "text/plain; charset=latin-1"}, 415),
        (b'{"a": "b"}', {"Content_Type": FORM, "Content_Encoding": "gzip"}, 415),
        (b'["a"]', {"Content_Type": "text/plain"}, 400),
        (b'{"a": ', {}, 400),
        (b'{"a": "\\u0000"}', {"Content_Type": "text/plain"}, 400),
        (b'{"a": 1, "a": 2}', {"Content_Type": "text/plain"}, 400),
    ],
)
async def test_any_label_refused(body: bytes, headers: dict[str, str], status: int) -> None:
    """It stays as strict about everything else."""
    with pytest.raises(BodyError) as refused:
        await read_fields(request(body, **headers), any_label=True)
    assert refused.value.status == status


@pytest.mark.parametrize("label", ["application/json", FORM, "application/octet-stream", None])
async def test_empty(label: str | None) -> None:
    """Where no body is no fields, that does not depend on its label."""
    headers = {} if label is None else {"Content_Type": label}
    assert await read_fields(request(b"", **headers), empty=True) == {}


MULTIPART = "multipart/form-data; boundary=x"


def part(name: str, value: bytes, *headers: str) -> bytes:
    """One field of a multipart body."""
    lines = [f'Content-Disposition: form-data; name="{name}"', *headers]
    return b"--x\r\n" + "\r\n".join([*lines, "", ""]).encode() + value + b"\r\n"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (part("a", b"b") + part("c", b"") + b"--x--\r\n", {"a": "b", "c": ""}),
        (part("a", "\u00e4 b\r\nc".encode(), "Content-Type: text/plain; charset=utf-8") + b"--x--", {"a": "ä b\r\nc"}),
        (part("a", b"-x-", "Content-Transfer-Encoding: 8bit") + b"--x--\r\n", {"a": "-x-"}),
        (b"preamble\r\n" + part("a", b"b") + b"--x--\r\nepilogue", {"a": "b"}),
        (b"--x--\r\n", {}),
    ],
)
async def test_multipart(body: bytes, fields: dict[str, str]) -> None:
    """Text fields of a multipart form are read as they were sent, where a dialect takes such forms."""
    assert await read_fields(request(body, Content_Type=MULTIPART), multipart=True) == fields


@pytest.mark.parametrize(
    ("body", "label", "status"),
    [
        (part("a", b"b") + b"--x--", "multipart/form-data", 400),
        (part("a", b"b") + b"--x--", "multipart/form-data; boundary=" + "x" * 71, 400),
        (part("a", b"b") + b"--x--", "multipart/form-data; boundary=y", 400),
        (part("a", b"b") + b"--x--", "multipart/mixed; boundary=x", 415),
        (part("a", b"b") + part("a", b"c") + b"--x--", MULTIPART, 400),
        (part("a", b"b"), MULTIPART, 400),
        (part("", b"b") + b"--x--", MULTIPART, 400),
        (part("a", b"\xff") + b"--x--", MULTIPART, 400),
        (part("a", b"\x00") + b"--x--", MULTIPART, 400),
        (part("a", b"YQ==", "Content-Transfer-Encoding: base64") + b"--x--", MULTIPART, 415),
        (part("a", b"b", "Content-Type: text/plain; charset=utf-16") + b"--x--", MULTIPART, 415),
        (part("a", b"b", "Content-Type: multipart/mixed; boundary=z") + b"--x--", MULTIPART, 400),
        (part("_charset_", b"no-such-thing") + part("a", b"b") + b"--x--", MULTIPART, 400),
        (part("_charset_", b"u" * 40) + part("a", b"b") + b"--x--", MULTIPART, 400),
        (b'--x\r\nContent-Disposition: form-data; name="a"; filename="f"\r\n\r\nb\r\n--x--', MULTIPART, 400),
        (b"--x\r\nContent-Disposition: form-data; =\r\n\r\nb\r\n--x--", MULTIPART, 400),
        (b"--x\r\nno header\r\n\r\nb\r\n--x--", MULTIPART, 400),
        (b"--x\r\n\r\nb\r\n--x--", MULTIPART, 400),
        pytest.param(
            b"".join(part(f"f{number}", b"") for number in range(101)) + b"--x--", MULTIPART, 400, id="many fields"
        ),
        pytest.param(b"--x\r\n" + b"A: b\r\n" * 5_000 + b"\r\nb\r\n--x--", MULTIPART, 400, id="many headers"),
        pytest.param(b"--x\r\nA: " + b"b" * 60_000 + b"\r\n\r\nb\r\n--x--", MULTIPART, 400, id="a long header"),
        pytest.param(part("a", b"b" * 65_536) + b"--x--", MULTIPART, 413, id="too large"),
        (b"", MULTIPART, 400),
        pytest.param(b"\xff" * 60_000, MULTIPART, 400, id="garbage"),
    ],
)
async def test_multipart_refused(body: bytes, label: str, status: int) -> None:
    """A multipart body that is broken, or has files in it, or text that is not UTF-8, is refused."""
    with pytest.raises(BodyError) as refused:
        await read_fields(request(body, Content_Type=label), multipart=True)
    assert refused.value.status == status


async def test_multipart_elsewhere() -> None:
    """Where a dialect takes no multipart forms, there are none."""
    with pytest.raises(BodyError) as refused:
        await read_fields(request(part("a", b"b") + b"--x--", Content_Type=MULTIPART))
    assert refused.value.status == 415


@pytest.mark.parametrize(("text", "clean"), [("", True), ("ä😀", True), ("a\x00", False), ("\udfff", False)])
def test_is_clean(*, text: str, clean: bool) -> None:
    """Text that can be stored and sent on has no NUL and no lone surrogate."""
    assert is_clean(text) is clean
