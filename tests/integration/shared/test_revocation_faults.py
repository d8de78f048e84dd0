"""Redis loses the revocations, or is away, or was never there."""

import asyncio
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from dragoman_verifier import RevocationsStale, TokenRevoked
from pydantic import SecretStr
from redis.asyncio import Redis

from deploy.servers import RedisServer
from shared.contracts.token import Revocation, Revoke
from shared.revocations import open_stream
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
from tests.support.proxy import TcpProxy
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
        await stream.next("reset")


async def test_a_server_that_lacks_the_newest(postgres_url: str, redis: RedisServer) -> None:
    """A replica takes over that did not get the last entry: a gateway that was cut off before it came hears of it."""
    parts = urlsplit(redis.url)
    async with TcpProxy(parts.hostname or "", parts.port or 0) as proxy:
        behind = redis.url.replace(f":{redis.port}/", f":{proxy.port}/")
        async with open_platform(Servers(postgres_url, redis.url, PREFIX), gateway_redis_url=behind) as running:
            await load_demo(running)
            gone, living = [await signed_in(running) for _ in range(2)]
            async with verifier(running) as follower, Redis.from_url(redis.url) as client:
                for tokens in (gone, living):
                    await follower.verify(tokens["access_token"])
                proxy.refusing = True
                proxy.cut()
                await running.operate(Revoke(kind="session", value=session_id(gone)))
                await _lose_newest(client, session_id(gone))
                proxy.refusing = False
                await refused(follower, gone)
                await follower.verify(living["access_token"])


async def test_a_server_that_another_replica_of_token_has_filled(platform: Platform, redis: RedisServer) -> None:
    """Whoever added to the server that was left adds it again, though the new one was filled: maybe before that."""
    ended = await end(platform, await signed_in(platform))
    async with Redis.from_url(redis.url) as client:
        await _lose_newest(client, ended)
        told = await client.info("replication")
        await client.set(f"{PREFIX}revocations:filled", f"{told['master_replid']}:by another one")

        async def there_again() -> bool | None:
            entries: Any = await client.xrange(f"{PREFIX}revocations")
            return any(ended.encode() in fields[b"r"] for _, fields in entries) or None

        await eventually(there_again, SECONDS, "it is there again")


async def test_a_server_that_does_not_tell_its_name(redis: RedisServer) -> None:
    """Where the user may not ask for INFO, an empty server is still noticed."""
    async with Redis.from_url(redis.url) as client:
        await client.flushdb()
        await client.acl_setuser("strict", enabled=True, passwords=["+secret"], keys=["*"], commands=["+@all", "-info"])
    url = SecretStr(redis.url.replace("//:", "//strict:").replace(redis.password, "secret"))
    async with open_stream(url, PREFIX) as stream:
        assert stream is not None
        name, filled = await stream.server()
        assert not filled
        await stream.fill([], f"{name}:first")
        assert await stream.server() == (name, True)


async def test_a_server_whose_clock_is_behind(platform: Platform, redis: RedisServer) -> None:
    """A server takes over whose clock, and with it the ids, is a minute behind: what is revoked next is heard."""
    before, after = [await signed_in(platform) for _ in range(2)]
    async with verifier(platform) as follower, Redis.from_url(redis.url) as client:
        for tokens in (before, after):
            await follower.verify(tokens["access_token"])
        seconds, _ = await client.time()
        stray = Revocation(kind="session", value="stray", expires_at=platform.clock.now() + timedelta(hours=1))
        ahead = f"{(seconds + 60) * 1000}-0"
        await client.xadd(f"{PREFIX}revocations", {b"r": stray.model_dump_json()}, id=ahead)
        await end(platform, before)
        await refused(follower, before)  # by an entry behind the stray one: everybody has read that
        await client.flushdb()
        # By the operator's way, since the gateway knows at once what it was itself asked for.
        await platform.operate(Revoke(kind="session", value=session_id(after)))
        await refused(follower, after)


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


async def _lose_newest(client: Redis, value: str) -> None:
    """Make the server one that took over before it got the entry about `value`, as asynchronous replicas may."""
    name = f"{PREFIX}revocations"

    async def announced() -> bytes | None:
        entries: Any = await client.xrevrange(name, count=1)
        return entries[0][0] if entries and value.encode() in entries[0][1][b"r"] else None

    newest = await eventually(announced, SECONDS, "the entry is there")
    await client.xdel(name, newest)
    await client.replicaof("127.0.0.1", "1")
    await client.replicaof("NO", "ONE")
