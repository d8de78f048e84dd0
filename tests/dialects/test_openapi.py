"""The description of the API, as clients and people get it."""

import base64
import hashlib
import re

import pytest

from tests.dialects.exchanges import check_headers
from tests.dialects.running import ISSUER, Platform

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_document(platform: Platform) -> None:
    """Anybody gets it, and may keep it for five minutes."""
    answer = await platform.send("GET", "/openapi.json")
    check_headers(answer)
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "public, max-age=300")
    document = answer.json()
    assert document["openapi"] == "3.1.0"
    assert document["servers"] == [{"url": ISSUER}]
    assert {"/oauth/v2/token", "/api/v2/signin", "/v1/login", "/auth/login", "/docs"} <= set(document["paths"])


async def test_the_page(platform: Platform) -> None:
    """A browser shows it, and lets it neither run nor load anything but its own style."""
    answer = await platform.send("GET", "/docs")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    found = re.search(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    assert found is not None
    digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
    assert answer.headers["Content-Security-Policy"] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
async def test_errors_speak_oauth2(platform: Platform, path: str) -> None:
    """These paths are nobody's, so that the first dialect speaks."""
    answer = await platform.send("POST", path)
    check_headers(answer)
    assert (answer.status, answer.json()["error"]) == (405, "method_not_allowed")


async def test_a_label_that_cannot_be_parsed(platform: Platform) -> None:
    """A Content-Type that trips the standard library's parser is a wrong one, in every dialect."""
    for path in ("/oauth/v2/token", "/api/v2/signin", "/v1/login", "/auth/login"):
        answer = await platform.send("POST", path, data=b'{"a": "b"}', headers={"Content-Type": ";0*"})
        assert answer.status == 415, answer.text
        check_headers(answer)
