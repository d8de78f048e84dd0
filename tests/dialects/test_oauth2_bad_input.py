"""Whatever is sent to the `oauth2` dialect, it answers in its own words that the request is wrong, and nothing changes.

Examples are found by hypothesis; those that have a name are in test_oauth2_odd_requests.
"""

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from tests.dialects.exchanges import check_headers
from tests.dialects.running import Answer, Platform

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Few, since each is a request through several services; no database, since a test leaves nothing behind.
bounded = settings(max_examples=40, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])

ANY_TEXT = st.text(st.characters())  # lone surrogates too
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)
GOOD = {
    "client_credentials": {"scope": "read"},
    "password": {"username": "nobody@example.com", "password": "def56789", "scope": "read"},
    "refresh_token": {"refresh_token": "MTI1ZWFkNDBmYjOGVmMGI0YzRjMGMzZGE4MQ", "scope": "read"},
}
GRANT_AND_FIELD = [
    (grant, field) for grant, fields in GOOD.items() for field in ("grant_type", "client_id", "client_secret", *fields)
]
HEADER_TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=200)
BROKEN_FORM = st.text(st.sampled_from(list("%&=+;{}[]\x00aF0é\ud7ff")), max_size=60).map(lambda text: text.encode())


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def nothing_changes(platform: Platform) -> AsyncIterator[None]:
    """Compares all that the services keep before and after each test."""
    before = await _contents(platform)
    yield
    assert await _contents(platform) == before


async def _contents(platform: Platform) -> list[Any]:
    tables = ("token.clients", "token.sessions", "identity.users", "otp.deliveries", "password.passwords")
    digests = (f"(SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {table} t)" for table in tables)
    return await platform.rows(f"SELECT {', '.join(digests)}")


def refused(answer: Answer) -> None:
    """The answer says in the dialect's words that the request is wrong."""
    assert 400 <= answer.status < 500, (answer.status, answer.text)
    _is_of_the_dialect(answer)


def not_broken(answer: Answer) -> None:
    """The answer is a refusal, or the request happened to be right."""
    assert answer.status == 200 or 400 <= answer.status < 500, (answer.status, answer.text)
    _is_of_the_dialect(answer)


def _is_of_the_dialect(answer: Answer) -> None:
    check_headers(answer)
    body = json.loads(answer.text)
    expected = {200: "access_token", 422: "errors"}.get(answer.status, "error_description")
    assert expected in body, body


async def post(platform: Platform, path: str, body: bytes, content_type: str | None) -> Answer:
    """A POST with exactly this body and this label."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    return await platform.send("POST", path, data=body, headers=headers, skip_auto_headers=("Content-Type",))


@bounded
@given(
    body=st.binary(max_size=400),
    content_type=st.sampled_from(["application/json", "application/x-www-form-urlencoded", None]),
)
async def test_any_bytes(platform: Platform, body: bytes, content_type: str | None) -> None:
    """A body of any bytes."""
    refused(await post(platform, "/oauth/v2/token", body, content_type))


@bounded
@given(document=JSON)
async def test_any_json(platform: Platform, document: Any) -> None:
    """A body of any JSON, with NaN and lone surrogates."""
    refused(await post(platform, "/oauth/v2/token", json.dumps(document).encode(), "application/json"))


@pytest.mark.parametrize(("grant", "field"), GRANT_AND_FIELD)
@settings(bounded, max_examples=12)
@given(value=JSON)
async def test_any_value(platform: Platform, grant: str, field: str, value: Any) -> None:
    """Any JSON value in one field of a request that is right otherwise."""
    good = {"grant_type": grant, "client_id": "abc123", "client_secret": "456789"} | GOOD[grant]
    body = json.dumps(good | {field: value}).encode()
    not_broken(await post(platform, "/oauth/v2/token", body, "application/json"))


@bounded
@given(body=BROKEN_FORM)
async def test_any_form(platform: Platform, body: bytes) -> None:
    """A form with broken percent-encoding, repeated and nameless fields."""
    refused(await post(platform, "/oauth/v2/token", body, "application/x-www-form-urlencoded"))


@bounded
@given(content_type=HEADER_TEXT)
async def test_any_content_type(platform: Platform, content_type: str) -> None:
    """A body with any label."""
    refused(await post(platform, "/oauth/v2/token", b'{"grant_type": "password"}', content_type.strip()))


@bounded
@given(credentials=st.binary(max_size=60).map(lambda raw: b64encode(raw).decode()) | HEADER_TEXT)
async def test_any_basic_credentials(platform: Platform, credentials: str) -> None:
    """Anything behind `Basic`."""
    headers = {"Authorization": f"Basic {credentials}"}
    refused(await platform.send("POST", "/oauth/v2/token", data={"grant_type": "password"}, headers=headers))


@bounded
@given(authorization=HEADER_TEXT | HEADER_TEXT.map(lambda text: f"Bearer {text}"))
async def test_any_bearer(platform: Platform, authorization: str) -> None:
    """Anything where a bearer token is due."""
    headers = {"Authorization": authorization}
    answer = await platform.send("POST", "/otp/send", json={"email": "a@example.com"}, headers=headers)
    refused(answer)
    assert answer.status == 401


@bounded
@given(
    # Digits could be a phone number, and with a domain anything could be an address.
    body=st.fixed_dictionaries(
        {},
        optional={
            "email": JSON | ANY_TEXT.map(lambda text: f"{text}@"),
            "phone": JSON | st.text(st.characters(exclude_categories=["Nd"])),
        },
    )
)
async def test_any_address(platform: Platform, body: dict[str, Any]) -> None:
    """Any JSON value where an address is due."""
    token = (await platform.token("client_credentials"))[1]["access_token"]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    refused(await platform.send("POST", "/otp/send", data=json.dumps(body).encode(), headers=headers))


@bounded
@given(
    # Not two slashes in front, which the client would take for a host; test_oauth2_odd_requests sends them raw.
    path=st.text(st.characters(exclude_categories=["Cs"]), max_size=60).map(lambda text: "/" + quote(text).lstrip("/")),
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]),
)
async def test_any_path(platform: Platform, path: str, method: str) -> None:
    """Any path that is none of ours."""
    answer = await platform.send(method, str(URL(path, encoded=True)))
    refused(answer)
    assert answer.status in {404, 405}
