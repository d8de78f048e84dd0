"""Odd requests that have a name, many of them written to a socket because no client would send them."""

import asyncio
import gzip
import json
import zlib
from base64 import b64encode
from collections.abc import AsyncIterator
from io import BytesIO

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from tests.dialects.exchanges import check_headers
from tests.dialects.running import DEADLINE_SECONDS, SERVICES, Answer, Platform, Servers, open_platform

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMIT = 64 * 1024
CLIENT = {"grant_type": "client_credentials", "client_id": "abc123", "client_secret": "456789"}
GOOD = json.dumps(CLIENT).encode()


def padded(size: int) -> bytes:
    """A good request of so many bytes."""
    bare = len(json.dumps(CLIENT | {"padding": ""}))
    return json.dumps(CLIENT | {"padding": "x" * (size - bare)}).encode()


def parsed(raw: bytes) -> Answer:
    """The last answer in what came back over a socket."""
    head, _, body = raw.rpartition(b"HTTP/1.1 ")[2].partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = CIMultiDict((name, value.strip()) for name, _, value in (line.partition(":") for line in lines))
    return Answer(int(status.split(" ")[0]), CIMultiDictProxy(headers), body.decode())


async def raw(platform: Platform, start: str, *headers: str, body: bytes = b"", length: bool = True) -> Answer:
    """Write a request to a socket; the answer has to be the dialect's."""
    lines = [f"{start} HTTP/1.1", "Host: id.example.com", "Connection: close", *headers]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    request = "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body
    answer = parsed(await platform.raw(request))
    check_headers(answer)
    return answer


def error(answer: Answer) -> tuple[int, str]:
    """The status and the word for what is wrong."""
    return answer.status, json.loads(answer.text)["error"]


BODIES = {
    "nothing": b"",
    "spaces": b"  \n",
    "NUL": b"\x00",
    "arrays in arrays": b"[" * 60_000,
    "objects in objects": b'{"a":' * 12_000,
    "objects in a field": b'{"grant_type":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"}",
    "a key twice": b'{"grant_type": "password", "grant_type": "client_credentials"}',
    "a key twice, escaped once": rb'{"grant_type": "password", "grant\u005ftype": "client_credentials"}',
    "a key twice inside a field": b'{"grant_type": "password", "x": {"a": 1, "a": 2}}',
    "NUL in a value": rb'{"grant_type": "password", "username": "some\u0000one"}',
    "NUL in a key": rb'{"grant_type": "password", "user\u0000name": "someone"}',
    "lone surrogate in a value": rb'{"grant_type": "password", "username": "\ud800"}',
    "lone surrogate in a key": rb'{"grant_type": "password", "\udfff": 1}',
    "surrogates the wrong way round": rb'{"grant_type": "password", "username": "\udc00\ud800"}',
    "Latin-1": '{"username": "Jürgen"}'.encode("latin-1"),
    "UTF-16": '{"username": "someone"}'.encode("utf-16"),
    "UTF-8 of a surrogate": b'{"username": "\xed\xa0\x80"}',
    "a byte order mark": b"\xef\xbb\xbf" + GOOD,
    "NaN": b'{"grant_type": NaN}',
    "infinity": b'{"grant_type": -Infinity}',
    "an endless number": b'{"grant_type": ' + b"9" * 60_000 + b"}",
    "a number beyond all": b'{"grant_type": 1e999999}',
    "a list": b"[]",
    "null": b"null",
    "a string": b'"grant_type"',
    "two documents": GOOD + GOOD,
    "a comma too many": b'{"grant_type": "password",}',
    "single quotes": b"{'grant_type': 'password'}",
    "a raw line feed in a string": b'{"grant_type": "pass\nword"}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=list(BODIES))
async def test_json(platform: Platform, body: bytes) -> None:
    """A body that is not the JSON it says it is, or too odd, is an invalid request."""
    answer = await raw(platform, "POST /oauth/v2/token", "Content-Type: application/json", body=body)
    assert error(answer) == (400, "invalid_request")


FORMS = {
    "a field twice": b"grant_type=password&grant_type=client_credentials",
    "a field twice, encoded once": b"grant_type=password&grant%5Ftype=client_credentials",
    "a field twice, once empty": b"grant_type=client_credentials&scope=&scope=read",
    "not UTF-8 when decoded": b"grant_type=password&username=%ff",
    "a surrogate when decoded": b"grant_type=password&username=%ed%a0%80",
    "NUL": b"grant_type=password&username=some%00one",
    "half an escape": b"grant_type=%",
    "no escape": b"grant_type=%zz",
    "not UTF-8": b"grant_type=\xff",
    "hundreds of fields": b"&".join(b"f%d=1" % number for number in range(500)),
    "separated by semicolons": b"grant_type=client_credentials;client_id=abc123;client_secret=456789",
}


@pytest.mark.parametrize("body", FORMS.values(), ids=list(FORMS))
async def test_forms(platform: Platform, body: bytes) -> None:
    """A form that cannot be read, or in more than one way, is refused."""
    answer = await raw(platform, "POST /oauth/v2/token", "Content-Type: application/x-www-form-urlencoded", body=body)
    assert answer.status == 400


BASICS = {
    "nothing": "Basic",
    "no base64": "Basic *****",
    "base64 of another alphabet": "Basic " + b64encode(b"abc123:456789???>>>").decode().replace("/", "_"),
    "base64 cut short": "Basic YWJjMTIzOjQ1Njc4OQ=",
    "no colon": "Basic " + b64encode(b"abc123").decode(),
    "colon alone": "Basic " + b64encode(b":").decode(),
    "no secret": "Basic " + b64encode(b"abc123:").decode(),
    "NUL in the id": "Basic " + b64encode(b"abc\x00123:456789").decode(),
    "NUL in the secret, encoded": "Basic " + b64encode(b"abc123:%00").decode(),
    "not UTF-8": "Basic " + b64encode(b"\xff:\xfe").decode(),
    "not UTF-8 when decoded": "Basic " + b64encode(b"abc123:%ff").decode(),
    "half an escape": "Basic " + b64encode(b"abc123:%").decode(),
    "a very long id": "Basic " + b64encode(b"a" * 5_000 + b":456789").decode(),
    "letters beyond ASCII": "Basic ÄÖÜ",
}


@pytest.mark.parametrize("authorization", BASICS.values(), ids=list(BASICS))
async def test_basic(platform: Platform, authorization: str) -> None:
    """Credentials in the header that are none, or wrong, are an invalid client."""
    body = b"grant_type=client_credentials"
    labels = ("Content-Type: application/x-www-form-urlencoded", f"Authorization: {authorization}")
    assert error(await raw(platform, "POST /oauth/v2/token", *labels, body=body)) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("APPLICATION/JSON; Charset=UTF8", 200),
        ('application/json; charset="utf-8"', 200),
        ("application/json; charset=us-ascii", 200),
        ("application/x-www-form-urlencoded; charset=UTF-8", 200),
        ("application/json; charset=utf-16", 415),
        ("application/json; charset=latin-1", 415),
        ("application/json; charset=no-such-thing", 415),
        ("application/jsonp", 415),
        ("text/json", 415),
        ("multipart/form-data; boundary=x", 415),
        ("", 415),
        (";", 415),
        ("application/json, text/plain", 415),
        ("ä/ö", 415),
    ],
)
async def test_labels(platform: Platform, content_type: str, status: int) -> None:
    """JSON and forms in UTF-8 are read, however that is spelled; everything else is told apart by its label."""
    answer = await raw(platform, "POST /oauth/v2/token", f"Content-Type: {content_type}", body=GOOD)
    assert answer.status == status


@pytest.mark.parametrize(("size", "status"), [(LIMIT - 1, 200), (LIMIT, 200), (LIMIT + 1, 413), (40 * LIMIT, 413)])
@pytest.mark.parametrize("chunked", [False, True])
async def test_size(platform: Platform, size: int, status: int, *, chunked: bool) -> None:
    """A body of 64 KiB is read, one byte more is not, whether or not its size is told beforehand."""
    body = padded(size)

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, size, 8192):
            yield body[start : start + 8192]

    data = chunks() if chunked else BytesIO(body)
    headers = {"Content-Type": "application/json"}
    answer = await platform.send("POST", "/oauth/v2/token", data=data, headers=headers)
    assert answer.status == status
    check_headers(answer)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(GOOD)),
        ("deflate", zlib.compress(GOOD)),
        ("gzip", b"garbage"),
        ("deflate", b"garbage"),
        ("gzip", gzip.compress(b"x" * 50_000_000)),
        ("br", b"x"),
        ("zstd", b"x"),
        ("gzip, gzip", b"x"),
        ("no-such-thing", GOOD),
    ],
    ids=["gzip", "deflate", "no gzip", "no deflate", "a bomb", "brotli", "zstd", "twice", "unknown"],
)
async def test_compression(platform: Platform, encoding: str, body: bytes) -> None:
    """A compressed body is refused unread, so that a small one cannot become a large one."""
    labels = ("Content-Type: application/json", f"Content-Encoding: {encoding}")
    assert error(await raw(platform, "POST /oauth/v2/token", *labels, body=body)) == (415, "invalid_request")


async def test_identity_encoding(platform: Platform) -> None:
    """A body that says that it is not compressed is read."""
    labels = ("Content-Type: application/json", "Content-Encoding: identity")
    assert (await raw(platform, "POST /oauth/v2/token", *labels, body=GOOD)).status == 200


async def test_body_on_request(platform: Platform) -> None:
    """A client that waits to be asked for its body is asked."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        reader, writer = await asyncio.open_connection(platform.host, platform.port)
        try:
            labels = f"Expect: 100-Continue\r\nConnection: close\r\nContent-Length: {len(GOOD)}"
            writer.write(f"POST /oauth/v2/token HTTP/1.1\r\nHost: a\r\n{labels}\r\n\r\n".encode())
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(GOOD)
            assert parsed(await reader.read()).status == 200
        finally:
            writer.close()


@pytest.mark.parametrize("expect", ["200-ok", "ä"])
async def test_other_expectations(platform: Platform, expect: str) -> None:
    """Expectations that nobody knows are passed over."""
    labels = ("Content-Type: application/json", f"Expect: {expect}")
    assert (await raw(platform, "POST /oauth/v2/token", *labels, body=GOOD)).status == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"%x\r\n%b\r\n0\r\n\r\n" % (len(GOOD), GOOD), 200),
        (b"".join(b"1\r\n%c\r\n" % byte for byte in GOOD) + b"0\r\n\r\n", 200),
        (b"0\r\n\r\n", 400),
    ],
    ids=["one chunk", "a chunk for each byte", "none"],
)
async def test_chunks(platform: Platform, body: bytes, status: int) -> None:
    """A body in chunks is read as one that comes whole."""
    labels = ("Content-Type: application/json", "Transfer-Encoding: chunked")
    assert (await raw(platform, "POST /oauth/v2/token", *labels, body=body, length=False)).status == status


PATHS = {
    "slash at the end": "/oauth/v2/token/",
    "slash doubled": "/oauth//v2/token",
    "slash doubled at the start": "//oauth/v2/token",
    "three slashes": "///oauth/v2/token",
    "slash encoded": "/oauth%2Fv2%2Ftoken",
    "slash encoded in lower case": "/oauth%2fv2/token",
    "slash encoded twice": "/oauth%252Fv2/token",
    "backslash": "/oauth\\v2\\token",
    "other case": "/OAUTH/V2/TOKEN",
    "NUL at the end": "/oauth/v2/token%00",
    "space at the end": "/oauth/v2/token%20",
    "semicolon": "/oauth/v2/token;a=b",
    "dot at the end": "/oauth/v2/token/.",
    "dots before": "/../oauth/v2/token/x",
    "not UTF-8": "/oauth/%ff",
    "half an escape": "/oauth/v2/token%",
    "one segment less": "/oauth/v2",
    "prefix of a word": "/oauthx/v2/token",
    "empty": "/",
}


@pytest.mark.parametrize("path", PATHS.values(), ids=list(PATHS))
async def test_paths(platform: Platform, path: str) -> None:
    """A path that is only like one of ours is none of ours."""
    answer = await raw(platform, f"POST {path}", "Content-Type: application/json", body=GOOD)
    assert error(answer) == (404, "not_found")


@pytest.mark.parametrize("path", ["/x/../oauth/v2/token", "/oauth/./v2/token", "/%6Fauth/v2/token"])
async def test_paths_that_mean_ours(platform: Platform, path: str) -> None:
    """Another spelling of our path is either ours in every respect or none of ours."""
    answer = await raw(platform, f"PUT {path}")
    assert (answer.status, answer.headers.get("Allow")) in {(405, "POST"), (404, None)}


async def test_absolute_form(platform: Platform) -> None:
    """A path behind another host's name, as proxies get it, is our path."""
    answer = await raw(
        platform, "POST http://elsewhere.example.com/oauth/v2/token", "Content-Type: application/json", body=GOOD
    )
    assert answer.status == 200


MALFORMED = {
    "no HTTP": b"hello\r\n\r\n",
    "no path": b"GET HTTP/1.1\r\n\r\n",
    "relative path": b"GET otp/send HTTP/1.1\r\nHost: a\r\n\r\n",
    "space in the path": b"GET /otp/s end HTTP/1.1\r\nHost: a\r\n\r\n",
    "unknown method": b"FOO /otp/send HTTP/1.1\r\nHost: a\r\n\r\n",
    "a path of 17,000 letters": b"GET /" + b"a" * 17_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "a header of 17,000 letters": b"GET /otp/send HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 17_000 + b"\r\n\r\n",
    "thousands of headers": b"GET /otp/send HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 5_000 + b"\r\n",
    "a header folded": b"GET /otp/send HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
    "a header without a colon": b"GET /otp/send HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
    "NUL in a header": b"GET /otp/send HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
    "two labels": b"POST /otp/send HTTP/1.1\r\nHost: a\r\nContent-Type: a/b\r\nContent-Type: a/c\r\n\r\n",
    "two lengths": b"POST /otp/send HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "negative length": b"POST /otp/send HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "length and chunks": b"POST /otp/send HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "no chunk": b"POST /otp/send HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", MALFORMED.values(), ids=list(MALFORMED))
async def test_malformed_http(platform: Platform, request_bytes: bytes) -> None:
    """What is not HTTP is refused at once, like a path that is no dialect's, and the connection ends."""
    answer = parsed(await platform.raw(request_bytes))
    check_headers(answer)
    status, word = error(answer)
    assert (status, word) == (401, "access_denied") or (status in {400, 414, 431} and word == "invalid_request")


@pytest.mark.parametrize("start", ["OPTIONS *", "CONNECT id.example.com:443", "TRACE /oauth/v2/token"])
async def test_methods_of_proxies(platform: Platform, start: str) -> None:
    """Methods that are not for us are refused."""
    answer = parsed(await platform.raw(f"{start} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()))
    assert answer.status in {404, 405}


async def test_body_that_does_not_come(servers: Servers) -> None:
    """A client that promises a body and does not send it is told so after the time a request may take."""
    async with open_platform(servers, without=frozenset(SERVICES), gateway_request_seconds="0.5") as platform:
        reader, writer = await asyncio.open_connection(platform.host, platform.port)
        try:
            writer.write(b"POST /oauth/v2/token HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
            async with asyncio.timeout(5):
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(int(parsed(head).headers["Content-Length"]))
            assert error(parsed(head + body)) == (408, "invalid_request")
        finally:
            writer.close()


async def test_client_that_hangs_up(platform: Platform) -> None:
    """A client that goes away in the middle of its body counts as a bad request, not as a fault of ours."""

    def answered(status: str) -> float:
        labels = {"dialect": "oauth2", "path": "/oauth/v2/token", "status": status}
        return platform.telemetry.registry.get_sample_value("dragoman_http_requests_total", labels) or 0.0

    before = answered("400")
    _, writer = await asyncio.open_connection(platform.host, platform.port)
    writer.write(b"POST /oauth/v2/token HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    async with asyncio.timeout(DEADLINE_SECONDS):
        while answered("400") + answered("500") == before:  # noqa: ASYNC110 - metrics fire no event
            await asyncio.sleep(0.01)
    assert (answered("400"), answered("500")) == (before + 1, 0)


@pytest.mark.parametrize(
    ("given", "kept"),
    [("0123456789abcdef", True), ("a.b_c-d1", True), ("short", False), ("a" * 129, False), ('x"y\\zäöü', False)],
)
async def test_request_id(platform: Platform, given: str, *, kept: bool) -> None:
    """A request id that a client gives comes back when it is harmless, and is replaced when it is not."""
    answer = await raw(platform, "GET /", f"X-Request-Id: {given}")
    assert (answer.headers["X-Request-Id"] == given) is kept


def basic(credentials: str) -> str:
    """The header of a client that proves itself."""
    return "Authorization: Basic " + b64encode(credentials.encode()).decode()


@pytest.mark.parametrize("path", ["token", "revoke", "introspect"])
@pytest.mark.parametrize(
    "second", [basic("abc123:456789"), basic("abc123:wrong"), basic("other:other-secret"), "Authorization: Bearer x"]
)
async def test_two_authorization_headers(platform: Platform, path: str, second: str) -> None:
    """A client that proves itself twice is refused, since whoever stands in front may have read the other header."""
    body = json.dumps({"grant_type": "client_credentials", "token": "some-token"}).encode()
    for headers in ([basic("abc123:456789"), second], [second, basic("abc123:456789")]):
        answer = await raw(platform, f"POST /oauth/v2/{path}", "Content-Type: application/json", *headers, body=body)
        assert error(answer) == (400, "invalid_request")
