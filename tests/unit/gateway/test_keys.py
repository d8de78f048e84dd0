"""The public keys that the gateway keeps."""

import asyncio
from typing import Any, cast

import pytest

from gateway import keys as module
from gateway.keys import PublicKeys
from shared.bus.bus import Bus
from shared.contracts.token import GetKeys, KeySet
from shared.errors import Error, ErrorCode, unavailable
from shared.telemetry import Telemetry


class Token:
    """A bus on which only `token` is, with a door that can be held and a voice that can fail."""

    def __init__(self) -> None:
        self.kids = ["first"]
        self.calls = 0
        self.away = False
        self.door = asyncio.Event()
        self.door.set()

    async def call(self, call: Any) -> KeySet:
        """Answer, once the door is open."""
        assert isinstance(call, GetKeys)
        self.calls += 1
        await self.door.wait()
        if self.away:
            raise unavailable("nobody serves token")
        return KeySet(keys=[{"kid": kid} for kid in self.kids])


@pytest.fixture
def token() -> Token:
    """`token`, there and answering."""
    return Token()


@pytest.fixture
def keys(token: Token) -> PublicKeys:
    """None fetched yet."""
    return PublicKeys(cast("Bus", token), Telemetry("gateway"))


def age(keys: PublicKeys, seconds: float) -> None:
    """Make it so that much later."""
    keys._fetched_at -= seconds
    keys._tried_at -= seconds


async def test_fresh(keys: PublicKeys, token: Token) -> None:
    """Keys are fetched once and asked for again when they are no longer fresh."""
    assert await keys.all() == await keys.all() == [{"kid": "first"}]
    assert token.calls == 1
    age(keys, module._FRESH_SECONDS)
    token.kids = ["second"]
    assert await keys.all() == [{"kid": "second"}]


async def test_single_flight(keys: PublicKeys, token: Token) -> None:
    """Many who need keys at once cause one call."""
    token.door.clear()
    waiting = [asyncio.create_task(keys.all()) for _ in range(50)]
    await asyncio.sleep(0)
    token.door.set()
    assert await asyncio.gather(*waiting) == [[{"kid": "first"}]] * 50
    assert token.calls == 1


async def test_single_flight_in_vain(keys: PublicKeys, token: Token) -> None:
    """Many who need keys at once hear together that there are none, not one call after the other."""
    token.away = True
    token.door.clear()
    waiting = [asyncio.create_task(keys.all()) for _ in range(50)]
    await asyncio.sleep(0)
    token.door.set()
    told = await asyncio.gather(*waiting, return_exceptions=True)
    assert {error.code for error in told if isinstance(error, Error)} == {ErrorCode.UNAVAILABLE}
    assert len(told) == 50
    assert token.calls == 1


async def test_back_at_once(keys: PublicKeys, token: Token) -> None:
    """Without any keys the next request asks again, so that the first one after an outage succeeds."""
    token.away = True
    with pytest.raises(Error):
        await keys.all()
    token.away = False
    assert await keys.all() == [{"kid": "first"}]


async def test_stale(keys: PublicKeys, token: Token) -> None:
    """While `token` is away the old keys go on, and it is not asked at every request."""
    await keys.all()
    age(keys, 3600)
    token.away = True
    for _ in range(20):
        assert await keys.find("first") == {"kid": "first"}
    assert token.calls == 2


async def test_too_stale(keys: PublicKeys, token: Token) -> None:
    """Keys that nobody could renew for a day are used no more, however often they are asked for."""
    await keys.all()
    age(keys, module._STALE_SECONDS + 1)
    token.away = True
    for _ in range(3):
        with pytest.raises(Error) as refused:
            await keys.all()
        assert refused.value.code == ErrorCode.UNAVAILABLE


async def test_unknown_key(keys: PublicKeys, token: Token) -> None:
    """A key that nobody knows is asked for anew, but seldom, so that made-up ids cause no flood."""
    await keys.all()
    for number in range(100):
        assert await keys.find(f"made up {number}") is None
    assert token.calls == 1
    age(keys, module._BETWEEN_FETCHES_SECONDS)
    token.kids = ["first", "second"]
    assert await keys.find("second") == {"kid": "second"}
    assert token.calls == 2
