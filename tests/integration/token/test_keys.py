"""Signing keys: one signs at a time, the same on every replica and after every restart."""

import asyncio
from contextlib import AsyncExitStack

from shared.contracts.token import GetKeys
from tests.integration.token.conftest import CLIENT, Platform, outcome

OTHER_KEY = "____________________________________________"[:42] + "8"


async def test_replicas_on_an_empty_database(platform: Platform) -> None:
    """Replicas that start together agree on the keys, and each verifies what the other signed."""
    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(platform.running()) for _ in range(4)]
        reports = await asyncio.gather(*(replica.kit.health.report() for replica in replicas))
        await replicas[0].create_client()
        # The broker in memory takes the replicas in turn.
        granted = [await replicas[0].client_credentials() for _ in replicas]
        for one in granted:
            assert (await replicas[0].claims(one))["sub"] == CLIENT
        keys = [await replicas[0].neighbours["gateway"].call(GetKeys()) for _ in replicas]
    assert all(report["signing_key"] == "ok" for report in reports)
    assert all(len(found.keys) == 2 and found.keys == keys[0].keys for found in keys)
    assert await platform.database.fetchval("SELECT count(*) FROM token.signing_keys WHERE state = 'active'") == 1


async def test_keys_are_there_before_the_first_token(platform: Platform) -> None:
    """Whoever reads the key set of a fresh platform finds the keys that will sign, and no private part of them."""
    async with platform.running() as token:
        found = (await token.neighbours["gateway"].call(GetKeys())).keys
        assert [set(key) for key in found] == 2 * [{"kty", "crv", "x", "y", "kid", "use", "alg"}]


async def test_key_survives_a_restart(platform: Platform) -> None:
    """What was signed before a restart is verified after it."""
    async with platform.running() as token:
        await token.create_client()
        granted = await token.client_credentials()
    async with platform.running() as token:
        assert (await token.claims(granted))["sub"] == CLIENT
        assert (await token.claims(await token.client_credentials()))["sub"] == CLIENT


async def test_another_wrapping_key(platform: Platform) -> None:
    """With another wrapping key a replica gets no traffic and says which setting to look at; the key stays."""
    async with platform.running() as token:
        await token.create_client()
        await token.client_credentials()
    async with platform.running(wrapping_key=OTHER_KEY) as token:
        report = await token.kit.health.report()
        assert report["postgres"] == "ok"
        assert "DRAGOMAN_TOKEN_WRAPPING_KEY" in report["signing_key"]
        assert await outcome(token.client_credentials()) == "internal"
    async with platform.running() as token:
        assert (await token.kit.health.report())["signing_key"] == "ok"
        assert await outcome(token.client_credentials()) == "ok"


async def test_private_key_is_not_readable(platform: Platform) -> None:
    """What is kept of the private key is not a key to those who can read the database."""
    async with platform.running() as token:
        await token.kit.health.report()
    rows = await platform.database.fetch("SELECT wrapped_private_key, public_jwk FROM token.signing_keys")
    assert len(rows) == 2
    for row in rows:
        # The start of every PKCS #8 key on this curve: version 0 and the algorithm's identifier.
        assert bytes.fromhex("020100301306072a8648ce3d0201") not in row["wrapped_private_key"]
        assert '"d"' not in row["public_jwk"]
