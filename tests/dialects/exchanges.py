"""Golden HTTP exchanges: files that a person can read, played against a running platform.

A file is a title, settings of its own (`with: name=value`), users of its own (`user: {…}`, the fields of
identity.create_user.v1), and exchanges behind lines that begin with `###`:
a request line, headers, a blank line, the body; then a line `---`, the status, headers, a blank line, the body.

Bodies are compared character by character, the order of the keys included; headers that are listed have to be there
as they are, those listed with a `!` before the name must not be there.
In an answer `{{name}}` stands for what varies: it is remembered, and later means the same in requests and answers.
`{{code to ADDRESS}}` in a request is the newest one-time code that was sent there.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from multidict import CIMultiDict

from shared.contracts.identity import CreateUser
from tests.dialects.running import Answer, Platform

_PLACE = re.compile(r"\{\{([^{}]+)\}\}")


@dataclass(frozen=True)
class Exchange:
    """What is sent and what is expected back."""

    title: str
    method: str
    path: str
    headers: list[tuple[str, str]]
    body: str
    status: int
    expected_headers: list[tuple[str, str]]
    expected_body: str


@dataclass(frozen=True)
class Golden:
    """One file."""

    settings: dict[str, str]
    users: list[CreateUser]
    exchanges: list[Exchange]


def read_golden(path: Path) -> Golden:
    """Read one file."""
    head, *parts = re.split(r"^### ?", path.read_text("utf-8"), flags=re.MULTILINE)
    settings = dict(re.findall(r"^with: (\w+)=(\S*)$", head, flags=re.MULTILINE))
    users = [
        CreateUser.model_validate({"enforce_policy": False, "replace": True} | json.loads(fields))
        for fields in re.findall(r"^user: (.+)$", head, flags=re.MULTILINE)
    ]
    return Golden(settings, users, [_exchange(part) for part in parts])


def _exchange(text: str) -> Exchange:
    title, _, rest = text.partition("\n")
    request, _, answer = rest.partition("\n---\n")
    request_line, headers, body = _message(request)
    status, expected_headers, expected_body = _message(answer)
    method, path = request_line.split(" ", 1)
    return Exchange(title, method, path, headers, body, int(status), expected_headers, expected_body)


def _message(text: str) -> tuple[str, list[tuple[str, str]], str]:
    head, _, body = text.strip("\n").partition("\n\n")
    first, *lines = head.split("\n")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return first, headers, body.strip("\n")


async def play(platform: Platform, golden: Golden) -> None:
    """Make the users, send every request in order and compare every answer."""
    for user in golden.users:
        await platform.operate(user)
    known: dict[str, str] = {}
    for exchange in golden.exchanges:
        headers = CIMultiDict([(name, await _filled(platform, value, known)) for name, value in exchange.headers])
        body = (await _filled(platform, exchange.body, known)).encode() if exchange.body else None
        skipped = () if "Content-Type" in headers else ("Content-Type",)
        answer = await platform.send(
            exchange.method, exchange.path, data=body, headers=headers, skip_auto_headers=skipped
        )
        _compare(exchange, answer, known)
        check_headers(answer)


async def _filled(platform: Platform, text: str, known: dict[str, str]) -> str:
    for name in _PLACE.findall(text):
        value = await platform.code_for(name.removeprefix("code to ")) if name.startswith("code to ") else known[name]
        text = text.replace(f"{{{{{name}}}}}", value)
    return text


def _compare(exchange: Exchange, answer: Answer, known: dict[str, str]) -> None:
    where = f"{exchange.title}: {exchange.method} {exchange.path}"
    assert answer.status == exchange.status, f"{where}: {answer.status} {answer.text}"
    for name, value in exchange.expected_headers:
        if name.startswith("!"):
            assert name[1:] not in answer.headers, f"{where}: {name[1:]} is there"
        else:
            assert answer.headers.get(name) == value, f"{where}: {name}: {answer.headers.get(name)}"
    pieces = _PLACE.split(exchange.expected_body)  # text, name, text, name, …
    names = pieces[1::2]
    pattern = "".join(
        re.escape(known.get(piece, "")) or r'([^"]+)' if index % 2 else re.escape(piece)
        for index, piece in enumerate(pieces)
    )
    found = re.fullmatch(pattern, answer.text)
    assert found, f"{where}:\n  expected {exchange.expected_body}\n  got      {answer.text}"
    known.update(zip([name for name in names if name not in known], found.groups(), strict=True))


def check_headers(answer: Answer) -> None:
    """What the headers of every answer owe (RFC 6749 §5.1, RFC 9110 §10.2.3 and §11.6.1)."""
    headers = answer.headers
    assert re.fullmatch(r"[A-Za-z0-9._-]{8,128}", headers["X-Request-Id"])
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Server"] == "dragoman"
    if answer.status == 204:
        assert (headers.get("Content-Type"), answer.text) == (None, "")
    else:
        assert headers["Content-Type"] in {"application/json", "application/json; charset=utf-8"}
    if headers["Cache-Control"] != "public, max-age=300":
        assert headers["Cache-Control"] == "no-store"
        assert headers["Pragma"] == "no-cache"
    if answer.status == 401:
        assert headers["WWW-Authenticate"].startswith(("Basic ", "Bearer "))
    if answer.status in {429, 503}:
        assert int(headers["Retry-After"]) >= 1
    if answer.status == 405:
        assert headers["Allow"]
