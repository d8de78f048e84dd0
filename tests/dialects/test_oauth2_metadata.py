"""Where clients look for the platform's metadata and keys, and for how long they may keep them."""

import re

import pytest

from tests.dialects.conftest import OpenPlatform
from tests.dialects.exchanges import check_headers
from tests.dialects.running import ISSUER, SERVICES, Platform

pytestmark = pytest.mark.asyncio(loop_scope="module")

METADATA = "/.well-known/oauth-authorization-server"


@pytest.mark.parametrize(
    "issuer", ["https://h.example.com/id", "https://h.example.com/id/", "https://h.example.com/a/b%20c"]
)
async def test_an_issuer_with_a_path(open_other: OpenPlatform, issuer: str) -> None:
    """The metadata is also where RFC 8414 §3.1 has clients look: the issuer's path behind the well-known one."""
    path = issuer.removeprefix("https://h.example.com").rstrip("/")
    async with open_other(without=frozenset(SERVICES), issuer=issuer) as platform:
        at_root = await platform.send("GET", METADATA)
        inserted = await platform.send("GET", METADATA + path)
        assert (inserted.status, inserted.text) == (200, at_root.text)
        assert inserted.json()["issuer"] == issuer
        assert inserted.headers["Cache-Control"] == at_root.headers["Cache-Control"]
        for other in ("/", f"{path}x", f"{path}/more", "/other", path.upper()):
            answer = await platform.send("GET", METADATA + other)
            check_headers(answer)
            assert (answer.status, answer.json()["error"]) == (404, "not_found")


async def test_an_issuer_without_a_path(platform: Platform) -> None:
    """Nothing is to be inserted then."""
    assert (await platform.send("GET", METADATA)).json()["issuer"] == ISSUER
    for tail in ("/", "//", "/id"):
        assert (await platform.send("GET", METADATA + tail)).status == 404


async def test_how_long_keys_may_be_kept(platform: Platform) -> None:
    """Through a cache and in a verifier behind it, keys are never so old that the one that signs is missing."""
    control = (await platform.send("GET", "/.well-known/jwks.json")).headers["Cache-Control"]
    found = re.fullmatch(r"public, max-age=(\d+)", control)
    assert found is not None
    in_the_gateway, published_ahead = 15 + 1, 60
    assert 2 * int(found[1]) + in_the_gateway < published_ahead
    # Not keys: nothing in it changes by itself.
    assert (await platform.send("GET", METADATA)).headers["Cache-Control"] == "public, max-age=300"
