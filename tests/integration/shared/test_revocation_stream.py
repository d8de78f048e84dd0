"""The way of a revocation: PostgreSQL, `token`, Redis, gateways, followers."""

import asyncio
import copy
import json
from contextlib import AsyncExitStack
from typing import Any

import jwt
import pytest
from aiohttp import ClientSession
from dragoman_verifier import TokenRevoked

from gateway import feed as endpoint
from gateway import revocations as gateway_revocations
from shared.contracts.token import Revoke
from tests.dialects.running import Platform
from tests.integration.shared.followers import (
    FEED,
    SECONDS,
    another_gateway,
    bearer,
    end,
    following,
    refused,
    signed_in,
    snapshot,
    verifier,
)
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(60)

USELESS = ("0-0", "1-1", "", "yesterday", "1e3-0", "-", "12345", "\uff11-\uff10", "9" * 5000)


async def test_a_follower_hears_of_it(platform: Platform) -> None:
    """A follower gets a heartbeat at once and each revocation with an id; the snapshot has it from then on."""
    tokens = await signed_in(platform)
    before = await snapshot(platform)
    async with following(platform, before["cursor"]) as stream:
        assert (await stream.next("heartbeat", "revocation")).name == "heartbeat"
        session = await end(platform, tokens)
        event = await stream.next("revocation")
    entry = json.loads(event.data)
    assert (entry["kind"], entry["value"], entry["issued_before"]) == ("session", session, None)
    now = platform.clock.now().timestamp()
    assert now + 86_400 <= entry["expires_at"] <= now + 86_400 + 300
    assert event.id is not None
    after = await snapshot(platform)
    assert after["cursor"] == event.id
    assert entry in after["revocations"]
    assert entry not in before["revocations"]


async def test_heartbeats_come_while_nothing_happens(platform: Platform) -> None:
    """Within five seconds there is a heartbeat, and then another."""
    await snapshot(platform)
    async with following(platform) as stream, asyncio.timeout(10):
        assert endpoint._HEARTBEAT_SECONDS <= 5
        for _ in range(2):
            async with asyncio.timeout(5):
                await stream.next("heartbeat")


async def test_who_comes_back_gets_what_was_missed(platform: Platform) -> None:
    """With the id of the last event seen, a follower gets exactly the later ones, in order, and then goes on."""
    await snapshot(platform)
    sessions = [await signed_in(platform) for _ in range(5)]
    ids: list[str] = []
    async with following(platform) as stream:
        await stream.next("heartbeat")
        ended = []
        for tokens in sessions[:4]:
            ended.append(await end(platform, tokens))
            ids.append(str((await stream.next("revocation")).id))
    async with following(platform, ids[1]) as stream:
        missed = [await stream.next("revocation", "reset") for _ in range(2)]
        assert [json.loads(event.data)["value"] for event in missed] == ended[2:]
        assert [event.id for event in missed] == ids[2:]
        last = await end(platform, sessions[4])
        assert json.loads((await stream.next("revocation")).data)["value"] == last


async def test_a_cursor_of_no_use_begins_anew(platform: Platform) -> None:
    """Who comes with an id that is too old or was never given is told to begin with a snapshot, and let go."""
    await end(platform, await signed_in(platform))

    async def announced() -> bool | None:
        return bool((await snapshot(platform))["revocations"]) or None

    await eventually(announced, SECONDS, "the stream has begun")
    headers = await bearer(platform) | {"Accept": "text/event-stream"}
    async with another_gateway(platform) as other:
        for cursor in USELESS:
            async with asyncio.timeout(SECONDS):
                answer = await other.send("GET", FEED, headers=headers | {"Last-Event-ID": cursor})
            assert (answer.status, answer.text) == (200, "event: reset\ndata: {}\n\n"), cursor


async def test_history_is_bounded(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who missed more than the gateway remembers begins anew."""
    monkeypatch.setattr(gateway_revocations, "_HISTORY", 2)
    async with another_gateway(platform) as other:
        cursor = (await snapshot(other))["cursor"]
        async with following(other) as stream:
            for _ in range(4):
                await end(platform, await signed_in(platform))
                await stream.next("revocation")
        async with following(other, cursor) as stream:
            await stream.next("reset")


async def test_a_head_request_is_answered(platform: Platform) -> None:
    """Asking for the headers alone ends, whatever is accepted."""
    await snapshot(platform)
    headers = await bearer(platform) | {"Accept": "text/event-stream"}
    async with asyncio.timeout(SECONDS):
        assert (await platform.send("HEAD", FEED, headers=headers)).status == 200


async def test_two_tokens_and_two_gateways(platform: Platform) -> None:
    """What is revoked through one gateway is refused by followers of the other, whichever replica of `token` did it."""
    async with (
        platform.service("token"),
        another_gateway(platform) as other,
        verifier(platform) as here,
        verifier(other) as there,
    ):
        for gateway in (platform, other, platform, other):
            tokens = await signed_in(platform)
            for each in (here, there):
                await each.verify(tokens["access_token"])
            await end(gateway, tokens)
            for each in (here, there):
                await refused(each, tokens)


async def test_a_gateway_that_starts_later_knows(platform: Platform) -> None:
    """A gateway that starts later refuses the token from its first request on, and so do its followers."""
    tokens = await signed_in(platform)
    session = await end(platform, tokens)
    late = copy.copy(platform)
    async with late.gateway():
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        assert (await late.send("GET", "/oauth/v2/userinfo", headers=headers)).status == 401
        assert session in [entry["value"] for entry in (await snapshot(late))["revocations"]]
        async with verifier(late) as follower:
            with pytest.raises(TokenRevoked):
                await follower.verify(tokens["access_token"])


async def test_a_gateway_that_has_just_started_judges(platform: Platform) -> None:
    """The first request to a gateway is not turned away for want of its first snapshot."""
    headers = {"Authorization": f"Bearer {(await signed_in(platform))['access_token']}"}
    for _ in range(5):
        new = copy.copy(platform)
        async with new.gateway():
            assert (await new.send("GET", "/oauth/v2/userinfo", headers=headers)).status == 200


async def test_a_gateway_that_ends_lets_followers_go(platform: Platform) -> None:
    """Open feeds do not hold up a gateway that is told to go."""
    other = copy.copy(platform)
    async with AsyncExitStack() as stack:
        gateway = other.gateway()
        await gateway.__aenter__()
        # A client of its own, since the gateway's fixture closes the other one first.
        other.http = await stack.enter_async_context(ClientSession(f"http://{other.host}:{other.port}"))
        await snapshot(other)
        stream = await stack.enter_async_context(following(other))
        await stream.next("heartbeat")
        async with asyncio.timeout(5):
            leaving = asyncio.create_task(_leave(gateway))
            await stream.over()
            await leaving


async def test_a_revoked_user_twice_keeps_the_later_bound(platform: Platform) -> None:
    """News of an older cut-off that come later do not bring back, in the snapshot, what a newer one ended."""
    user = jwt.decode((await signed_in(platform))["access_token"], options={"verify_signature": False})["sub"]
    for advance in (60.0, -120.0):
        platform.clock.advance(advance)
        await platform.operate(Revoke(kind="user", value=user))
    later = platform.clock.now().timestamp() + 120

    async def look() -> dict[str, Any] | None:
        entries = [one for one in (await snapshot(platform))["revocations"] if one["value"] == user]
        [(count,)] = await platform.rows("SELECT count(*) FROM token.revocations WHERE value = $1", user)
        return entries[0] if entries and count == 2 else None

    assert (await eventually(look, SECONDS, "it is there"))["issued_before"] == int(later)


async def _leave(gateway: Any) -> None:
    await gateway.__aexit__(None, None, None)


async def test_a_follower_whose_own_token_was_revoked_is_let_go(platform: Platform) -> None:
    """The feed ends with the token that opened it, so that nobody follows on a right that was withdrawn."""
    async with following(platform) as stream:
        await stream.next("heartbeat")
        await platform.operate(Revoke(kind="client", value="follower"))
        await stream.next("revocation")
        await stream.over()


async def test_a_follower_whose_own_token_has_expired_is_let_go(platform: Platform) -> None:
    """The feed ends with the token that opened it; whoever comes back with another one misses nothing."""
    async with following(platform) as stream:
        await stream.next("heartbeat")
        platform.clock.advance(3601)
        await stream.over()
