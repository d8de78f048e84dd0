"""The odd requests of test_oauth2_odd_requests, as the other dialects get them."""

import asyncio
import gzip
import json
from collections.abc import Callable
from io import BytesIO

import pytest

from tests.dialects.running import SERVICES, Answer, Platform, Servers, open_platform
from tests.dialects.styles import STYLES, Style
from tests.dialects.test_oauth2_odd_requests import BODIES, FORMS, LIMIT, parsed, raw

pytestmark = pytest.mark.asyncio(loop_scope="module")

each_style = pytest.mark.parametrize("style", STYLES, ids=[style.name for style in STYLES])


def sign_in(style: Style) -> tuple[str, bytes]:
    """The dialect's path to sign in, and a good body for it."""
    path, fields = next(iter(style.posts.items()))
    return path, json.dumps(fields).encode()


async def posted(platform: Platform, style: Style, body: bytes, *headers: str) -> Answer:
    """Write a sign-in with this body to a socket; the answer has to be the dialect's."""
    answer = await raw(platform, f"POST {sign_in(style)[0]}", *headers, body=body)
    style.check(answer)
    return answer


@each_style
@pytest.mark.parametrize("body", BODIES.values(), ids=list(BODIES))
async def test_json(platform: Platform, style: Style, body: bytes) -> None:
    """A body that is not the JSON it says it is, or too odd, is refused."""
    assert (await posted(platform, style, body, "Content-Type: application/json")).status in {400, 422}


@each_style
@pytest.mark.parametrize("body", FORMS.values(), ids=list(FORMS))
async def test_forms(platform: Platform, style: Style, body: bytes) -> None:
    """A form that cannot be read, or in more than one way, is refused."""
    answer = await posted(platform, style, body, "Content-Type: application/x-www-form-urlencoded")
    assert answer.status in {400, 422}


@each_style
@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("APPLICATION/JSON; Charset=UTF8", 401),
        ("application/x-www-form-urlencoded; charset=UTF-8", 401),
        ("application/json; charset=utf-16", 415),
        ("application/json; charset=no-such-thing", 415),
    ],
)
async def test_labels(platform: Platform, style: Style, content_type: str, status: int) -> None:
    """JSON in UTF-8 is read, however that is spelled and also where it is called a form; other alphabets are not."""
    answer = await posted(platform, style, sign_in(style)[1], f"Content-Type: {content_type}")
    assert answer.status == status


@each_style
@pytest.mark.parametrize(("size", "status"), [(LIMIT, 401), (LIMIT + 1, 413), (40 * LIMIT, 413)])
async def test_size(platform: Platform, style: Style, size: int, status: int) -> None:
    """A body of 64 KiB is read, one byte more is not."""
    path, fields = next(iter(style.posts.items()))
    bare = len(json.dumps({**fields, "padding": ""}))
    body = json.dumps({**fields, "padding": "x" * (size - bare)}).encode()
    answer = await platform.send("POST", path, data=BytesIO(body), headers={"Content-Type": "application/json"})
    assert answer.status == status
    style.check(answer)


@each_style
async def test_compression(platform: Platform, style: Style) -> None:
    """A compressed body is refused unread, so that a small one cannot become a large one."""
    body = gzip.compress(b"x" * 50_000_000)
    labels = ("Content-Type: application/json", "Content-Encoding: gzip")
    assert (await posted(platform, style, body, *labels)).status == 415


@each_style
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
async def test_methods(platform: Platform, style: Style, method: str) -> None:
    """Nothing but POST signs anybody in."""
    answer = await platform.send(method, sign_in(style)[0])
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    if method != "HEAD":
        style.check(answer)


PATHS: dict[str, Callable[[str], str]] = {
    "slash at the end": lambda path: f"{path}/",
    "slash doubled": lambda path: path.replace("/", "//", 2).removeprefix("/"),
    "slash doubled at the start": lambda path: f"/{path}",
    "slash encoded": lambda path: "/" + path[1:].replace("/", "%2F", 1),
    "backslash": lambda path: path.replace("/", "\\").replace("\\", "/", 1),
    "other case": lambda path: path.upper(),
    "NUL at the end": lambda path: f"{path}%00",
    "semicolon": lambda path: f"{path};a=b",
    "dot at the end": lambda path: f"{path}/.",
    "one segment more": lambda path: f"{path}/x",
}


@each_style
@pytest.mark.parametrize("spelling", PATHS)
async def test_paths(platform: Platform, style: Style, spelling: str) -> None:
    """A path that is only like one of ours is none of ours, and the dialect that was meant says so."""
    path, body = sign_in(style)
    answer = await raw(platform, f"POST {PATHS[spelling](path)}", "Content-Type: application/json", body=body)
    assert answer.status == 404
    if spelling not in {"slash encoded", "backslash"}:  # then its first segment is another
        style.check(answer)


@each_style
async def test_body_that_does_not_come(servers: Servers, style: Style) -> None:
    """A client that promises a body and does not send it is told so after the time a request may take."""
    async with open_platform(servers, without=frozenset(SERVICES), gateway_request_seconds="0.5") as platform:
        reader, writer = await asyncio.open_connection(platform.host, platform.port)
        try:
            writer.write(f"POST {sign_in(style)[0]} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{{".encode())
            async with asyncio.timeout(5):
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(int(parsed(head).headers["Content-Length"]))
            answer = parsed(head + body)
            assert answer.status == 408
            style.check(answer)
        finally:
            writer.close()
