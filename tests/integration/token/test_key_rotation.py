"""Signing keys change, and no valid token is refused meanwhile; a leaked key's tokens are refused at once."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import jwt
import pytest
from pydantic import SecretStr

from services.token import key_ring
from shared.contracts.token import (
    GetKeys,
    IntrospectToken,
    ListSigningKeys,
    RetireSigningKey,
    RevokeSigningKey,
    RewrapSigningKeys,
    RotateSigningKey,
    SigningAlgorithm,
    SigningKeyList,
    TokenSet,
)
from shared.errors import Error
from tests.integration.token.conftest import CLIENT, SECRET, Platform, Token, eventually, outcome

OLD_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
NEW_KEY = "HxAREhMUFRYXGBkaGxwdHgABAgMEBQYHCAkKCwwNDg8"
OTHER_KEY = "____________________________________________"[:42] + "8"
LONGEST_LIFE_SECONDS = 86_400 + 300


@pytest.fixture
def _always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look the keys up each time, since the clock of these tests makes leaps."""
    monkeypatch.setattr(key_ring, "_FRESH_SECONDS", 0.0)


async def operate(token: Token, call: Any) -> SigningKeyList:
    """Make an operator's call."""
    answer: SigningKeyList = await token.neighbours["operator"].call(call)
    return answer


async def refusal(token: Token, call: Any) -> str:
    """Why an operator's call is refused."""
    with pytest.raises(Error) as caught:
        await operate(token, call)
    return caught.value.message


async def states(token: Token) -> dict[str, str]:
    """What each key does."""
    return {key.kid: key.state for key in (await operate(token, ListSigningKeys())).keys}


async def published(token: Token) -> dict[str, dict[str, Any]]:
    """The published keys by name."""
    return {key["kid"]: key for key in (await token.neighbours["gateway"].call(GetKeys())).keys}


async def signer(token: Token) -> str:
    """The key that signs."""
    return kid(await token.client_credentials())


def kid(granted: TokenSet) -> str:
    """The key that signed this token."""
    return str(jwt.get_unverified_header(granted.access_token.get_secret_value())["kid"])


def verify(granted: TokenSet, keys: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The claims, for someone who has these keys; time is the fake clock's."""
    options = {"verify_exp": False, "verify_iat": False, "verify_aud": False}
    text = granted.access_token.get_secret_value()
    claims: dict[str, Any] = jwt.decode(text, jwt.PyJWK(keys[kid(granted)]), options=options)  # type: ignore[arg-type]
    return claims


@pytest.mark.usefixtures("_always_fresh")
async def test_life_of_a_key(platform: Platform, token: Token) -> None:
    """A key is published for its time before it signs, and for the longest life of a token after."""
    first = await token.client_credentials()
    (called,) = [name for name, state in (await states(token)).items() if state == "next"]
    assert called in await published(token)
    await operate(token, RotateSigningKey())
    assert len(await published(token)) == 3
    platform.clock.advance(59.9)
    assert await signer(token) == kid(first)
    platform.clock.advance(0.1)
    second = await token.client_credentials()
    assert kid(second) == called
    assert sorted((await states(token)).values()) == ["active", "next", "retired"]
    assert verify(first, await published(token))["sub"] == verify(second, await published(token))["sub"] == CLIENT
    platform.clock.advance(LONGEST_LIFE_SECONDS - 1)
    assert kid(first) in await published(token)
    platform.clock.advance(1)
    assert kid(first) not in await published(token)
    assert sorted((await states(token)).values()) == ["active", "next"]


@pytest.mark.usefixtures("_always_fresh")
async def test_verifier_that_fetches_seldom(platform: Platform) -> None:
    """With a rotation every 2 seconds nothing is refused by a verifier that asks every 10 for keys 15 seconds old."""
    async with platform.running(key_publish_seconds="30") as token:
        await token.create_client()
        answers = [await published(token)]
        known, fetched, signers = answers[0], 0, set()
        for second in range(90):
            if second % 2 == 0:
                await operate(token, RotateSigningKey())
            answers.append(await published(token))
            granted = await token.client_credentials()
            if kid(granted) not in known and second - fetched >= 10:
                known, fetched = answers[max(0, second - 15)], second
            assert verify(granted, known)["sub"] == CLIENT
            signers.add(kid(granted))
            platform.clock.advance(1)
        assert len(signers) >= 30


async def test_parallel_rotations(platform: Platform) -> None:
    """Of fifty rotations at once on two replicas each takes its turn; one key signs, and both know which."""
    async with platform.running(key_publish_seconds="0") as token, platform.running(key_publish_seconds="0"):
        await token.create_client()
        before = await token.client_credentials()
        await asyncio.gather(*(operate(token, RotateSigningKey()) for _ in range(50)))
        listed, other = await states(token), await states(token)
        assert listed == other
        counts = {state: list(listed.values()).count(state) for state in ("next", "active", "retired")}
        assert counts == {"next": 1, "active": 1, "retired": 50}
        assert {listed[await signer(token)] for _ in range(2)} == {"active"}
        assert verify(before, await published(token))["sub"] == CLIENT


async def test_every_replica_hears_of_it(platform: Platform) -> None:
    """A key that signs at once signs on every replica within about a second, and is published there as soon."""
    async with AsyncExitStack() as stack:
        token, *_ = [await stack.enter_async_context(platform.running()) for _ in range(3)]
        await token.create_client()
        # The broker in memory takes the replicas in turn.
        assert len({await signer(token) for _ in range(3)}) == 1
        changed = await operate(token, RotateSigningKey(at_once=True))
        loop = asyncio.get_running_loop()
        started = loop.time()

        async def everywhere() -> bool:
            return {await signer(token) for _ in range(3)} == {changed.keys[0].kid}

        await eventually(everywhere)
        assert loop.time() - started < 2
        names = [set(await published(token)) for _ in range(3)]
        assert names[0] == names[1] == names[2] == {key.kid for key in changed.keys}


@pytest.mark.parametrize(("algorithm", "members"), {"RS256": {"n", "e"}, "EdDSA": {"crv", "x"}}.items())
@pytest.mark.usefixtures("_always_fresh")
async def test_algorithms(platform: Platform, token: Token, algorithm: SigningAlgorithm, members: set[str]) -> None:
    """A key of another algorithm takes over in its turn; whoever has the published keys verifies, and sees no more."""
    first = await token.client_credentials()
    await operate(token, RotateSigningKey(algorithm=algorithm))
    assert kid(await token.client_credentials()) == kid(first)
    platform.clock.advance(60)
    granted = await token.client_credentials()
    keys = await published(token)
    assert jwt.get_unverified_header(granted.access_token.get_secret_value())["alg"] == algorithm
    assert verify(granted, keys)["sub"] == verify(first, keys)["sub"] == CLIENT
    assert set(keys[kid(granted)]) == members | {"kty", "kid", "use", "alg"}
    (following,) = [key for key in (await operate(token, ListSigningKeys())).keys if key.state == "next"]
    assert following.algorithm == algorithm
    client = {"client_id": CLIENT, "client_secret": SecretStr(SECRET)}
    asked = IntrospectToken(**client, token=granted.access_token)
    assert (await token.neighbours["gateway"].call(asked)).active


@pytest.mark.usefixtures("_always_fresh")
async def test_restart_meanwhile(platform: Platform) -> None:
    """A key whose turn comes while nobody runs signs after the restart; an RSA key comes back as it was."""
    async with platform.running() as token:
        await token.create_client()
        before = await token.client_credentials()
        waiting = (await operate(token, RotateSigningKey(algorithm="RS256"))).keys
    platform.clock.advance(3600)
    async with platform.running() as token:
        after = await token.client_credentials()
        assert {kid(after)} == {key.kid for key in waiting if key.activates_at and key.state == "next"}
        keys = await published(token)
        assert verify(before, keys)["sub"] == verify(after, keys)["sub"] == CLIENT


@pytest.mark.usefixtures("_always_fresh")
async def test_retired_until_none_is_left(token: Token) -> None:
    """Whichever key is retired, another signs at once, what was signed stays good, and one more is published ahead."""
    granted = [await token.client_credentials()]
    for _ in range(4):
        before = await states(token)
        retired = await operate(token, RetireSigningKey(kid=kid(granted[-1])))
        assert before[retired.keys[0].kid] == "next"
        granted.append(await token.client_credentials())
        assert kid(granted[-1]) == retired.keys[0].kid
    (standby,) = [name for name, state in (await states(token)).items() if state == "next"]
    await operate(token, RetireSigningKey(kid=standby))
    listed = list((await states(token)).values())
    assert (listed.count("active"), listed.count("next")) == (1, 1)
    keys = await published(token)
    assert all(verify(one, keys)["sub"] == CLIENT for one in granted)
    assert await refusal(token, RetireSigningKey(kid="nobody")) == "there is no such signing key"


@pytest.mark.usefixtures("_always_fresh")
async def test_leaked_key(platform: Platform, token: Token) -> None:
    """What a revoked key signed is refused, the key is published no more, and the next one signs at once."""
    leaked = await token.client_credentials()
    (following,) = [name for name, state in (await states(token)).items() if state == "next"]
    await operate(token, RevokeSigningKey(kid=kid(leaked)))
    assert kid(leaked) not in await published(token)
    granted = await token.client_credentials()
    assert kid(granted) == following
    client = {"client_id": CLIENT, "client_secret": SecretStr(SECRET)}
    for one, good in ((leaked, False), (granted, True)):
        asked = IntrospectToken(**client, token=one.access_token)
        assert (await token.neighbours["gateway"].call(asked)).active is good
    rows = await platform.database.fetch("SELECT kind, value FROM token.revocations")
    assert [tuple(row) for row in rows] == [("key", kid(leaked))]
    told = await platform.database.fetchval("SELECT body FROM token.outbox WHERE subject = 'token.tokens_revoked.v1'")
    assert kid(leaked).encode() in told
    assert await refusal(token, RevokeSigningKey(kid=kid(leaked))) == "there is no such signing key"
    assert await platform.database.fetchval("SELECT count(*) FROM token.revocations") == 1


@pytest.mark.usefixtures("_always_fresh")
async def test_change_of_the_wrapping_key(platform: Platform) -> None:
    """With the old wrapping key beside the new one everything goes on; after `rewrap` the old one is not needed."""
    async with platform.running() as token:
        await token.create_client()
        first = await token.client_credentials()
        old = {key.wrapped_by for key in (await operate(token, ListSigningKeys())).keys}
    async with platform.running(wrapping_key=NEW_KEY, wrapping_key_previous=OLD_KEY) as token:
        assert kid(await token.client_credentials()) == kid(first)
        rewrapped = (await operate(token, RewrapSigningKeys())).keys
        assert len(old) == len({key.wrapped_by for key in rewrapped}) == 1
        assert old != {key.wrapped_by for key in rewrapped}
        assert (await operate(token, RewrapSigningKeys())).keys == rewrapped
    async with platform.running(wrapping_key=NEW_KEY) as token:
        assert kid(await token.client_credentials()) == kid(first)
        await operate(token, RotateSigningKey(at_once=True))
        assert await outcome(token.client_credentials()) == "ok"
    async with platform.running() as token:
        assert await outcome(token.client_credentials()) == "internal"


@pytest.mark.usefixtures("_always_fresh")
async def test_wrong_wrapping_key(platform: Platform) -> None:
    """A replica with a wrong wrapping key changes nothing and names the setting, but still publishes the keys."""
    async with platform.running() as token:
        before = await operate(token, ListSigningKeys())
    async with platform.running(wrapping_key=OTHER_KEY, wrapping_key_previous=NEW_KEY) as token:
        for call in (RotateSigningKey(), RotateSigningKey(algorithm="EdDSA", at_once=True), RewrapSigningKeys()):
            assert "DRAGOMAN_TOKEN_WRAPPING_KEY_PREVIOUS" in await refusal(token, call)
        assert await operate(token, ListSigningKeys()) == before
        assert len(await published(token)) == 2


@pytest.mark.usefixtures("_always_fresh")
async def test_key_of_an_older_version(platform: Platform) -> None:
    """A key that was kept before keys could rotate signs on, and gets a successor."""
    async with platform.running() as token:
        await token.create_client()
        first = await signer(token)
    await platform.database.execute("DELETE FROM token.signing_keys WHERE state = 'next'")
    await platform.database.execute("UPDATE token.signing_keys SET activates_at = NULL, wrapped_by = ''")
    async with platform.running() as token:
        listed = (await operate(token, ListSigningKeys())).keys
        assert [(key.kid == first, key.state, bool(key.wrapped_by)) for key in listed] == [
            (True, "active", False),
            (False, "next", True),
        ]
        assert await signer(token) == first
        assert all(key.wrapped_by for key in (await operate(token, RewrapSigningKeys())).keys)
