"""What the dialects beside `oauth2` answer while a service is not there."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.dialects.conftest import OpenPlatform
from tests.dialects.running import Platform
from tests.dialects.styles import EACH_POST, Style, names

pytestmark = pytest.mark.asyncio(loop_scope="module")

# change-password sees for itself that what it is given was never handed out.
ASKING = [case for case in EACH_POST if case[1] != "/v1/change-password"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform(open_other: OpenPlatform) -> AsyncIterator[Platform]:
    """A platform on which no answer is held back, and neither `token` nor `identity` is there."""
    away = frozenset({"token", "identity"})
    async with open_other(without=away, gateway_directus_login_stall_ms="0") as running:
        yield running


@pytest.mark.parametrize(("style", "path"), ASKING, ids=names(ASKING))
async def test_nobody_there(platform: Platform, style: Style, path: str) -> None:
    """Whoever needs a service that is away is told within a second, in the dialect's way, when to try again."""
    async with asyncio.timeout(1):
        answer = await platform.send("POST", path, json=style.posts[path])
    assert answer.status == 503, answer.text
    style.check(answer)


async def test_sign_out(platform: Platform) -> None:
    """Signing out needs to know the keys: without them it is neither done nor refused."""
    headers = {"Authorization": "Bearer eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6ImEifQ.e30.YQ"}
    answer = await platform.send("POST", "/api/v2/signout", headers=headers)
    assert (answer.status, answer.json()["code"]) == (503, 503)
