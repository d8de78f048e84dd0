"""A verifier that gets keys and revocations from its owner rather than over HTTP."""

from collections.abc import Mapping
from typing import Any

import pytest
from dragoman_verifier import Claims, KeysUnavailable, RevocationsStale, TokenInvalid, TokenRevoked, Verifier
from dragoman_verifier.health import FeedState
from dragoman_verifier.revocations import Revocation, RevokedSet

from tests.verifier.issuer import Issuer
from tests.verifier.signing import AUDIENCE, Clock, Key, payload, sign

ISSUER = "https://id.example.com"


class Source:
    """Knows what was revoked, and can fall silent."""

    def __init__(self) -> None:
        self.state: FeedState = "live"
        self.age: float | None = 1.5
        self.problem: str | None = None
        self.revoked = RevokedSet(grace=0)

    async def check(self, claims: Claims) -> None:
        """Refuse what was revoked, and everything while silent."""
        if self.revoked.has(claims):
            raise TokenRevoked("the token was revoked")
        if self.state == "stale":
            raise RevocationsStale("silent", retry_after=1)


class Store:
    """Holds keys, and can be away."""

    def __init__(self, *keys: Key) -> None:
        self.keys = list(keys)
        self.asked = 0
        self.away = False

    async def __call__(self) -> tuple[dict[str, Any], Mapping[str, str]]:
        """The JWK Set."""
        self.asked += 1
        if self.away:
            raise OSError("away")
        return {"keys": [key.jwk for key in self.keys]}, {"Cache-Control": "max-age=30"}


@pytest.fixture
def key() -> Key:
    """The issuer's key."""
    return Key("key-1")


def verifier(store: Store, clock: Clock, source: Source | None = None) -> Verifier:
    """A verifier that asks nobody over HTTP."""
    return Verifier(ISSUER, AUDIENCE, keys=store, revocations=source, clock=clock, monotonic=clock)


async def test_keys_by_another_way(key: Key, clock: Clock) -> None:
    """Keys are asked of their owner, kept as long as told, and serve on while the owner is away."""
    store = Store(key)
    token = sign(payload(ISSUER, clock()), key)
    async with verifier(store, clock) as running:
        for _ in range(3):
            assert (await running.verify(token)).subject == "user-1"
        assert store.asked == 1
        clock.pass_(31)
        await running.verify(token)
        assert store.asked == 2
        store.away = True
        clock.pass_(31)
        await running.verify(token)
        assert running.health().keys_problem == "away"


async def test_keys_that_change(key: Key, clock: Clock) -> None:
    """A key that is withdrawn takes along what it signed; a new one is found when a token names it."""
    store, new = Store(key), Key("key-2")
    old, fresh = (sign(payload(ISSUER, clock()), each) for each in (key, new))
    async with verifier(store, clock) as running:
        await running.verify(old)
        store.keys = [new]
        clock.pass_(11)
        await running.verify(fresh)
        with pytest.raises(TokenInvalid):
            await running.verify(old)


async def test_no_keys_at_all(key: Key, clock: Clock) -> None:
    """Without keys nothing can be told."""
    store = Store(key)
    store.away = True
    async with verifier(store, clock) as running:
        with pytest.raises(KeysUnavailable):
            await running.verify(sign(payload(ISSUER, clock()), key))


async def test_revocations_by_another_way(key: Key, clock: Clock) -> None:
    """The owner is asked at each verification, also of a token already seen, and the health tells how it does."""
    source = Source()
    token = sign(payload(ISSUER, clock()), key)
    async with verifier(Store(key), clock, source) as running:
        await running.verify(token)
        health = running.health()
        assert (health.revocations, health.revocations_age, health.revoked) == ("live", 1.5, 0)
        source.state, source.problem = "stale", "cut off"
        with pytest.raises(RevocationsStale):
            await running.verify(token)
        assert running.health().revocations_problem == "cut off"
        source.state, source.problem = "live", None
        source.revoked.add(Revocation("session", "session-1", float("inf"), clock() + 600), clock())
        with pytest.raises(TokenRevoked):
            await running.verify(token)
        assert running.health().revoked == 1
    assert running.health().revocations == "stale"  # it is not asked any more


async def test_nothing_is_asked_over_http(issuer: Issuer, key: Key, clock: Clock) -> None:
    """An issuer whose keys and revocations come by another way hears nothing of the verifier."""
    made = Verifier(issuer.url, AUDIENCE, keys=Store(key), revocations=Source(), clock=clock, monotonic=clock)
    async with made:
        await made.verify(sign(payload(issuer.url, clock()), key))
    assert not issuer.asked
