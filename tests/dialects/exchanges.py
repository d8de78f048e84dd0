"""Golden HTTP exchanges: files that a person can read, played against a running platform.

A file is a title, settings of its own (`with: name=value`), users and external providers of its own (`user: {…}`, the
fields of identity.create_user.v1; `provider: {…}`), and exchanges behind lines that begin with `###`:
a request line, headers, a blank line, the body; then a line `---`, the status, headers, a blank line, the body.

Bodies are compared character by character, the order of the keys included; headers that are listed have to be there
as they are, those listed with a `!` before the name must not be there. The clock stands, unless a title ends in
`(N s later)`.
In an answer `{{name}}` stands for what varies: it is remembered, and later means the same in requests and answers.
In a request `{{code to ADDRESS}}` is the newest one-time code that was sent there, `{{link token to ADDRESS}}` the
token of the newest link; `{{totp of SECRET}}`, or of a name that was remembered, is what an authenticator shows, with
` -1` or ` +1` behind it what it showed before or will show next.
"""

import json
import re
from base64 import b32decode
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from multidict import CIMultiDict

from shared.contracts.identity import CreateUser
from shared.contracts.providers import AddProvider
from tests.dialects.running import Answer, Platform

_PLACE = re.compile(r"\{\{([^{}]+)\}\}")
_LATER = re.compile(r"\((\d+) s later\)$")
_TOTP_SECONDS = 30


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
    providers: list[AddProvider]
    exchanges: list[Exchange]


def read_golden(path: Path) -> Golden:
    """Read one file."""
    head, *parts = re.split(r"^### ?", path.read_text("utf-8"), flags=re.MULTILINE)
    settings = dict(re.findall(r"^with: (\w+)=(\S*)$", head, flags=re.MULTILINE))
    users = [
        CreateUser.model_validate({"enforce_policy": False, "replace": True} | json.loads(fields))
        for fields in re.findall(r"^user: (.+)$", head, flags=re.MULTILINE)
    ]
    providers = [
        AddProvider.model_validate({"provider": json.loads(fields)})
        for fields in re.findall(r"^provider: (.+)$", head, flags=re.MULTILINE)
    ]
    return Golden(settings, users, providers, [_exchange(part) for part in parts])


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
    """Make the users and providers, send every request in order and compare every answer."""
    for user in golden.users:
        await platform.operate(user)
    for provider in golden.providers:
        await platform.operate(provider)
    platform.clock.advance(1)  # a session that begins in the moment of a new password ends with it
    known: dict[str, str] = {}
    for exchange in golden.exchanges:
        if later := _LATER.search(exchange.title):
            platform.clock.advance(int(later[1]))
        headers = CIMultiDict([(name, await _filled(platform, value, known)) for name, value in exchange.headers])
        body = (await _filled(platform, exchange.body, known)).encode() if exchange.body else None
        skipped = () if "Content-Type" in headers else ("Content-Type",)
        path = await _filled(platform, exchange.path, known)
        answer = await platform.send(exchange.method, path, data=body, headers=headers, skip_auto_headers=skipped)
        _compare(exchange, answer, known)
        check_headers(answer)


async def _filled(platform: Platform, text: str, known: dict[str, str]) -> str:
    for name in _PLACE.findall(text):
        text = text.replace(f"{{{{{name}}}}}", await _value(platform, name, known))
    return text


async def _value(platform: Platform, name: str, known: dict[str, str]) -> str:
    if name.startswith("code to "):
        return await platform.code_for(name.removeprefix("code to "))
    if name.startswith("link token to "):
        return await platform.link_token_for(name.removeprefix("link token to "))
    if name.startswith("totp of "):
        secret, _, steps = name.removeprefix("totp of ").partition(" ")
        key = b32decode(known.get(secret, secret))
        totp = TOTP(key, 6, SHA1(), _TOTP_SECONDS, enforce_key_length=False)  # as short as old systems made them
        shown_at = platform.clock.now() + timedelta(seconds=_TOTP_SECONDS * int(steps or 0))
        return totp.generate(int(shown_at.timestamp())).decode()
    return known[name]


def _compare(exchange: Exchange, answer: Answer, known: dict[str, str]) -> None:
    where = f"{exchange.title}: {exchange.method} {exchange.path}"
    assert answer.status == exchange.status, f"{where}: {answer.status} {answer.text}"
    listed: Counter[str] = Counter()
    for name, value in exchange.expected_headers:
        if name.startswith("!"):
            assert name[1:] not in answer.headers, f"{where}: {name[1:]} is there"
            continue
        given = answer.headers.getall(name, [])[listed[name] :]  # some headers may be there several times
        assert given, f"{where}: {name} is missing"
        _match(f"{where}: {name}", value, given[0], known)
        listed[name] += 1
    _match(where, exchange.expected_body, answer.text, known)


def _match(where: str, expected: str, text: str, known: dict[str, str]) -> None:
    """Compare, and remember what stands where something varies."""
    pieces = _PLACE.split(expected)  # text, name, text, name, …
    names = pieces[1::2]
    pattern = "".join(
        re.escape(known.get(piece, "")) or r'([^";]+)' if index % 2 else re.escape(piece)
        for index, piece in enumerate(pieces)
    )
    found = re.fullmatch(pattern, text)
    assert found, f"{where}:\n  expected {expected}\n  got      {text}"
    known.update(zip([name for name in names if name not in known], found.groups(), strict=True))


def check_headers(answer: Answer) -> None:
    """What the headers of every answer owe (RFC 6749 §5.1, RFC 9110 §10.2.3 and §11.6.1)."""
    headers = answer.headers
    assert re.fullmatch(r"[A-Za-z0-9._-]{8,128}", headers["X-Request-Id"])
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Server"] == "dragoman"
    if answer.status in {204, 302}:
        assert (headers.get("Content-Type"), answer.text) == (None, "")
    else:
        assert headers["Content-Type"] in {"application/json", "application/json; charset=utf-8"}
    if not re.fullmatch(r"public, max-age=(300|20)", headers["Cache-Control"]):
        assert headers["Cache-Control"] == "no-store"
        assert headers["Pragma"] == "no-cache"
    if answer.status == 401:
        assert headers["WWW-Authenticate"].startswith(("Basic ", "Bearer "))
    if answer.status in {429, 503}:
        assert int(headers["Retry-After"]) >= 1
    if answer.status == 405:
        assert headers["Allow"]
