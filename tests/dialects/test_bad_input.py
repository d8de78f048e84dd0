"""Whatever is sent to the other dialects, each answers in its own words that the request is wrong; nothing changes.

Examples are found by hypothesis, as for `oauth2` in test_oauth2_bad_input.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dialects.conftest import OpenPlatform
from tests.dialects.running import Answer, Platform
from tests.dialects.styles import BACKOFFICE, EACH_FIELD, EACH_POST, STYLES, Style, names
from tests.dialects.test_oauth2_bad_input import BROKEN_FORM, HEADER_TEXT, JSON, bounded, post

pytestmark = pytest.mark.asyncio(loop_scope="module")

few = settings(bounded, max_examples=12)
each_style = pytest.mark.parametrize("style", STYLES, ids=[style.name for style in STYLES])
each_post = pytest.mark.parametrize(("style", "path"), EACH_POST, ids=names(EACH_POST))
each_field = pytest.mark.parametrize(("style", "path", "field"), EACH_FIELD, ids=names(EACH_FIELD))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform(open_other: OpenPlatform) -> AsyncIterator[Platform]:
    """A platform on which no answer is held back."""
    async with open_other(gateway_directus_login_stall_ms="0") as running:
        yield running


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def nothing_changes(platform: Platform) -> AsyncIterator[None]:
    """Compares all that the services keep before and after each test."""
    before = await _contents(platform)
    yield
    assert await _contents(platform) == before


async def _contents(platform: Platform) -> list[Any]:
    tables = ("token.clients", "token.sessions", "identity.users", "identity.totp", "password.passwords")
    digests = (f"(SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {table} t)" for table in tables)
    return await platform.rows(f"SELECT {', '.join(digests)}")


def refused(style: Style, answer: Answer) -> None:
    """The answer says in the dialect's words that the request is wrong."""
    assert 400 <= answer.status < 500, (answer.status, answer.text)
    style.check(answer)


def not_broken(style: Style, answer: Answer) -> None:
    """The answer is a refusal, or there was nothing to refuse."""
    assert answer.status == 204 or 400 <= answer.status < 500, (answer.status, answer.text)
    style.check(answer)


@each_post
@few
@given(
    body=st.binary(max_size=400),
    content_type=st.sampled_from(
        ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "a/b", None]
    ),
)
async def test_any_bytes(platform: Platform, style: Style, path: str, body: bytes, content_type: str | None) -> None:
    """A body of any bytes, under any label that means something."""
    refused(style, await post(platform, path, body, content_type))


@each_style
@bounded
@given(body=st.binary(max_size=200) | st.binary(max_size=60).map(lambda value: b"--x\r\n%b\r\n--x--" % value))
async def test_any_multipart(platform: Platform, style: Style, body: bytes) -> None:
    """A multipart body with anything in it."""
    refused(style, await post(platform, next(iter(style.posts)), body, "multipart/form-data; boundary=x"))


@each_post
@few
@given(document=JSON)
async def test_any_json(platform: Platform, style: Style, path: str, document: Any) -> None:
    """A body of any JSON, with NaN and lone surrogates."""
    refused(style, await post(platform, path, json.dumps(document).encode(), "application/json"))


@each_field
@few
@given(value=JSON)
async def test_any_value(platform: Platform, style: Style, path: str, field: str, value: Any) -> None:
    """Any JSON value in one field of a request that is right otherwise."""
    body = json.dumps({**style.posts[path], field: value}).encode()
    not_broken(style, await post(platform, path, body, "application/json"))


@each_field
@pytest.mark.parametrize("value", [7, 0.5, True, ["a"], {"a": "b"}], ids=repr)
async def test_no_string(platform: Platform, style: Style, path: str, field: str, value: Any) -> None:
    """A number is no string, and a code that is one would lose its zeros: validation, and nobody is asked."""
    answer = await platform.send("POST", path, json={**style.posts[path], field: value})
    assert answer.status in {400, 422}, answer.text
    style.check(answer)


@each_field
@pytest.mark.parametrize("length", [1_025, 60_000])
async def test_long_strings(platform: Platform, style: Style, path: str, field: str, length: int) -> None:
    """A string longer than anything that it could be is refused like a wrong one."""
    answer = await platform.send("POST", path, json={**style.posts[path], field: "a" * length})
    not_broken(style, answer)


@each_style
@bounded
@given(body=BROKEN_FORM)
async def test_any_form(platform: Platform, style: Style, body: bytes) -> None:
    """A form with broken percent-encoding, repeated and nameless fields."""
    refused(style, await post(platform, next(iter(style.posts)), body, "application/x-www-form-urlencoded"))


@each_style
@bounded
@given(content_type=HEADER_TEXT)
async def test_any_content_type(platform: Platform, style: Style, content_type: str) -> None:
    """A body with any label."""
    refused(style, await post(platform, next(iter(style.posts)), b'{"a": "b"}', content_type.strip()))


@bounded
@given(authorization=HEADER_TEXT | HEADER_TEXT.map(lambda text: f"Bearer {text}"))
async def test_any_bearer(platform: Platform, authorization: str) -> None:
    """Anything where the access token of whoever signs out is due."""
    answer = await platform.send("POST", "/api/v2/signout", headers={"Authorization": authorization})
    refused(BACKOFFICE, answer)
    assert answer.status == 401
