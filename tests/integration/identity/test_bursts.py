"""Any number of sign-ins to one account at once: right ones never hold each other up, wrong ones gain nothing."""

import asyncio
from collections import Counter

import pytest

from tests.integration.identity.conftest import EMAIL, PASSWORD, PHONE, TOTP_SECRET, USERNAME, Identity, outcome

ALLOWED = 10
NAMES = (EMAIL, PHONE, USERNAME)
HOME = "192.0.2.1/32"
PREFETCH = 64
"""Calls that a replica takes off its queue at once. More wait at the broker; its twin in memory has no such limit."""


def takes(identity: Identity, seconds: float) -> None:
    """Have each comparison take so long, so that many are under way at once."""

    async def compare() -> None:
        await asyncio.sleep(seconds)

    identity.platform.password.verifying = compare


async def burst(identity: Identity, secret: str, times: int, source: str | None = None) -> Counter[str]:
    """What comes of so many sign-ins at once, by every name.

    One that finds the database too busy to say who it is about comes again, as it is told to; that is another limit.
    """
    queue = asyncio.Semaphore(PREFETCH)

    async def sign_in(name: str) -> str:
        heard = "unavailable"
        for _ in range(20):
            if heard == "unavailable":
                async with queue:
                    heard = await outcome(identity.authenticate(name, secret, source=source))
        return heard

    return Counter(await asyncio.gather(*(sign_in(NAMES[n % 3]) for n in range(times))))


@pytest.mark.parametrize("earlier", [0, 1, 5, 9])
@pytest.mark.parametrize("source", [None, HOME])
async def test_right_ones(identity: Identity, earlier: int, source: str | None) -> None:
    """Two hundred devices that sign in at the same moment all get in, whatever had failed before."""
    await identity.create()
    assert await burst(identity, PASSWORD, 1, source) == {"ok": 1}
    assert (await burst(identity, "wrong", earlier, source)).total() == earlier
    takes(identity, 0.01)
    assert await burst(identity, PASSWORD, 200, source) == {"ok": 200}
    assert await burst(identity, "wrong", ALLOWED, source) == {"wrong_password": ALLOWED}


async def test_right_ones_again_and_again(identity: Identity) -> None:
    """Bursts one after the other add nothing up."""
    await identity.create()
    for _ in range(5):
        assert await burst(identity, PASSWORD, 50) == {"ok": 50}


@pytest.mark.parametrize("source", [None, HOME])
async def test_wrong_ones(identity: Identity, source: str | None) -> None:
    """Of five hundred guesses at the same moment no more are compared than may fail one after the other."""
    user = await identity.create()
    assert await burst(identity, PASSWORD, 1, source) == {"ok": 1}
    identity.platform.password.asked.clear()
    takes(identity, 0.05)
    outcomes = await burst(identity, "wrong", 500, source)
    assert outcomes == {"wrong_password": ALLOWED, "too_many_attempts": 500 - ALLOWED}
    assert sum(call.user_id == user.id for call in identity.platform.password.asked) == ALLOWED


async def test_right_ones_at_home_among_wrong_ones(identity: Identity) -> None:
    """While a stranger guesses with all might, everybody at home gets in."""
    await identity.create()
    assert await burst(identity, PASSWORD, 1, HOME) == {"ok": 1}
    takes(identity, 0.01)
    wrong, right = await asyncio.gather(burst(identity, "wrong", 250), burst(identity, PASSWORD, 50, HOME))
    assert wrong == {"wrong_password": ALLOWED, "too_many_attempts": 250 - ALLOWED}
    assert right == {"ok": 50}


async def test_attempts_that_stay_under_way(identity: Identity) -> None:
    """Who waits in vain for others to be decided is told to come back, not that too many have failed."""
    await identity.create(totp_secret=TOTP_SECRET)
    begun, decided = asyncio.Semaphore(0), asyncio.Event()

    async def compare() -> None:
        begun.release()
        await asyncio.wait_for(decided.wait(), 10)

    identity.platform.password.verifying = compare
    under_way = [asyncio.create_task(outcome(identity.authenticate(EMAIL, "wrong"))) for _ in range(ALLOWED)]
    for _ in under_way:
        await asyncio.wait_for(begun.acquire(), 10)
    assert await outcome(identity.authenticate(EMAIL)) == "overloaded"
    decided.set()
    assert set(await asyncio.gather(*under_way)) == {"wrong_password"}
    read = identity.kit.telemetry.registry.get_sample_value
    labels = {"outcome": "undecided", "source": "unknown"}
    assert read("dragoman_identity_attempts_total", labels) == 1
