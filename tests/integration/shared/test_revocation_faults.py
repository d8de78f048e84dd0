"""Redis loses the revocations, or is away, or was never there."""

import asyncio
import json
from typing import Any, Literal

import pytest
from dragoman_verifier import RevocationsStale, TokenRevoked
from redis.asyncio import Redis

from deploy.servers import RedisServer
from shared.contracts.token import Revoke
from tests.dialects.running import Platform, Servers, load_demo, open_platform
from tests.integration.shared.followers import (
    FEED,
    PREFIX,
    SECONDS,
    another_gateway,
    bearer,
    end,
    following,
    heard,
    introspected,
    refused,
    session_id,
    signed_in,
    verifier,
)
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("how", ["all", "the stream"])
async def test_emptied_while_running(platform: Platform, redis: RedisServer, how: Literal["all", "the stream"]) -> None:
    """Redis is emptied: what was revoked stays so, the stream is filled again, new revocations arrive."""
    gone, living, later = [await signed_in(platform) for _ in range(3)]
    async with verifier(platform) as follower, Redis.from_url(redis.url) as client:
        for tokens in (gone, living, later):
            await follower.verify(tokens["access_token"])
        ended = await end(platform, gone)
        await refused(follower, gone)
        if how == "all":
            await client.flushdb()
        else:
            await client.delete(*[key async for key in client.scan_iter(match=f"{PREFIX}revocations*")])
        await end(platform, later)
        await refused(follower, later)
        await refused(follower, gone)

        async def filled() -> bool | None:
            entries: Any = await client.xrange(f"{PREFIX}revocations")
            return any(ended.encode() in fields[b"r"] for _, fields in entries) or None

        await eventually(filled, SECONDS, "the stream is filled again")
        await follower.verify(living["access_token"])
        async with another_gateway(platform) as other, verifier(other) as late:
            for tokens in (gone, later):
                with pytest.raises(TokenRevoked):
                    await late.verify(tokens["access_token"])
            await late.verify(living["access_token"])


async def test_without_redis(platform: Platform, redis: RedisServer) -> None:
    """Redis dies: verifiers go on, then do what was chosen; when it is back all hear what they missed."""
    gone, living, meanwhile = [await signed_in(platform) for _ in range(3)]
    async with (
        verifier(platform, max_staleness=3.0) as careful,
        verifier(platform, max_staleness=3.0, when_stale="accept") as easy,
        following(platform) as stream,
    ):
        for each in (careful, easy):
            for tokens in (gone, living, meanwhile):
                await each.verify(tokens["access_token"])
        await end(platform, gone)
        for each in (careful, easy):
            await refused(each, gone)
        redis.kill()
        killed_at = asyncio.get_running_loop().time()
        await end(platform, meanwhile)
        for each in (careful, easy):
            await each.verify(living["access_token"])  # within its staleness
        await refused(careful, living, RevocationsStale)
        assert asyncio.get_running_loop().time() - killed_at >= 1.0
        await easy.verify(living["access_token"])
        for each in (careful, easy):
            with pytest.raises(TokenRevoked):
                await each.verify(gone["access_token"])
        answer = await platform.send("GET", FEED, headers=await bearer(platform))
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        await asyncio.to_thread(redis.start)
        for each in (careful, easy):
            await heard(each)
            for tokens in (gone, meanwhile):
                await refused(each, tokens)
            await each.verify(living["access_token"])
        assert json.loads((await stream.next("revocation")).data)["kind"] in {"session", "user"}


async def test_introspection_without_redis(platform: Platform, redis: RedisServer) -> None:
    """While Redis is away introspection knows of what is revoked meanwhile, since `token` is asked."""
    tokens = await signed_in(platform)
    for _ in range(2):
        assert await introspected(platform, tokens) is True
    redis.kill()
    headers = await bearer(platform)

    async def silent() -> bool | None:
        return (await platform.send("GET", FEED, headers=headers)).status == 503 or None

    await eventually(silent, SECONDS, "the gateway hears nothing")
    await platform.operate(Revoke(kind="session", value=session_id(tokens)))
    assert await introspected(platform, tokens) is False


async def test_a_platform_without_redis_polls(postgres_url: str, redis: RedisServer) -> None:
    """A gateway that has no Redis asks `token`, and refuses what was revoked within two seconds."""
    async with open_platform(Servers(postgres_url, redis.url, PREFIX), gateway_redis_url="") as running:
        await load_demo(running)
        tokens = await signed_in(running)
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        assert (await running.send("GET", "/oauth/v2/userinfo", headers=headers)).status == 200
        for _ in range(2):
            assert await introspected(running, tokens) is True
        await running.operate(Revoke(kind="session", value=session_id(tokens)))
        # `token` is asked, since the poll may be a second behind.
        assert await introspected(running, tokens) is False

        async def look() -> bool | None:
            return (await running.send("GET", "/oauth/v2/userinfo", headers=headers)).status == 401 or None

        await eventually(look, 2.5, "the token is refused")
