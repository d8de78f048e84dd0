"""Whose tokens /forward-auth accepts where no setting says otherwise."""

import pytest

from tests.dialects.running import Servers, load_demo, open_platform

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_platforms_own(servers: Servers) -> None:
    """A token for the platform passes; one that is meant for another audience does not."""
    async with open_platform(servers) as platform:
        await load_demo(platform)
        own = (await platform.sign_in("someone@example.com", "def56789"))["access_token"]
        _, other = await platform.token("client_credentials", client_id="machine", client_secret="machine-secret")
        for token, status in ((own, 200), (other["access_token"], 401)):
            named = {"X-Forwarded-Method": "GET", "X-Forwarded-Uri": "/", "Authorization": f"Bearer {token}"}
            assert (await platform.send("GET", "/forward-auth", headers=named)).status == status
