"""The official client of Directus, in the version that its lock file names, against the `directus` dialect."""

from base64 import b32decode
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from tests.dialects.clients.node import Client
from tests.dialects.conftest import OpenPlatform
from tests.dialects.running import Platform

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

SCENARIOS = (
    "signs in and out, json",
    "signs in and out, cookie",
    "signs in and out, session",
    "refreshes by itself, json",
    "refreshes by itself, cookie",
    "resets the password, json",
    "resets the password, cookie",
    "is told what went wrong",
    "asks for the second factor",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> Client:
    """The client, installed."""
    client = Client("directus")
    await client.install()
    return client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(open_other: OpenPlatform) -> AsyncIterator[Platform]:
    """A platform behind plain HTTP, as developers run it, so that cookies may travel; its time goes by."""
    async with open_other(gateway_directus_cookie_secure="false", gateway_directus_login_stall_ms="20") as platform:
        platform.clock.tick = timedelta(microseconds=100)
        yield platform


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_the_official_client_of_directus(scenario: str, client: Client, site: Platform) -> None:
    """Works as its documentation says."""
    now = int(site.clock.now().timestamp())
    totp = TOTP(b32decode("JBSWY3DPEHPK3PXP"), 6, SHA1(), 30, enforce_key_length=False)
    output = await client.run(
        "scenarios.mjs",
        scenario,
        environ={
            "PLATFORM": str(site.url),
            "INBOX": site.inbox_url,
            "OTP": totp.generate(now).decode(),
            "WRONG_OTP": totp.generate(now + 3600).decode(),
        },
    )
    assert output.splitlines()[-1] == scenario
