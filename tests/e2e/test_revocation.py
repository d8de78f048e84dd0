"""A token dies at once at every service that verifies it; and what a gateway with open feeds does when it has to go."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from aiohttp import ClientSession

from deploy.running.components import program
from tests.support.platform import ISSUER, Platform
from tests.support.token_api import CLIENT, TokenApi
from tests.support.verifier_process import VerifierProcess

pytestmark = pytest.mark.timeout(120)

DRAIN_SECONDS = 5.0


@pytest.fixture(scope="module")
def secret(platform: Platform) -> str:
    """The secret of a client that may follow the feed."""
    command = ("client", "create", "follower", "--scope", "revocations:read", "--json")
    return str(json.loads(asyncio.run(platform.run(program("dragoman"), *command)))["client_secret"])


@pytest.fixture
async def verifiers(platform: Platform, secret: str) -> AsyncIterator[list[VerifierProcess]]:
    """Three services in processes of their own, each with the library."""
    async with AsyncExitStack() as stack:
        started = []
        for _ in range(3):
            started.append(await VerifierProcess.start(platform.url, ISSUER, "follower", secret))
            stack.push_async_callback(started[-1].stop)
        yield started


@pytest.mark.parametrize("by", ["refresh_token", "access_token", "operator"])
async def test_three_verifiers_refuse_what_was_revoked(
    platform: Platform, api: TokenApi, verifiers: list[VerifierProcess], by: str
) -> None:
    """A token that three services accept is refused by each of them once it is revoked at the gateway, or by hand."""
    session = (await api.password()).body
    offered = await asyncio.gather(*(verifier.offer(session["access_token"]) for verifier in verifiers))
    assert [one["outcome"] for one in offered] == ["ok"] * 3
    if by == "operator":
        await platform.run(program("dragoman"), "revoke", "client", CLIENT["client_id"])
    else:
        answer = await api.request("POST", "/oauth/v2/revoke", {**CLIENT, "token": session[by]})
        assert (answer.status, answer.body) == (200, {})
    refused = await asyncio.gather(*(verifier.told() for verifier in verifiers))
    assert [one["outcome"] for one in refused] == ["TokenRevoked"] * 3


async def test_a_gateway_with_open_feeds_goes_at_once(
    platform: Platform, api: TokenApi, http: ClientSession, secret: str
) -> None:
    """SIGTERM ends feeds too: the gateway does not wait for followers who never hang up."""
    follower = {"client_id": "follower", "client_secret": secret, "scope": "revocations:read"}
    bearer = (await api.grant("client_credentials", **follower)).body["access_token"]
    headers = {"Authorization": f"Bearer {bearer}", "Accept": "text/event-stream"}
    async with http.get(f"{platform.url}/.well-known/revocations", headers=headers) as feed:
        assert await feed.content.readany()
        [gateway] = platform.replicas("gateway")
        gateway.process.terminate()
        assert await gateway.ended(DRAIN_SECONDS) == 0
    await platform.bring(1)
