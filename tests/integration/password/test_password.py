"""Set, verify, import and overload, as identity sees them over the bus."""

import asyncio
from statistics import median
from uuid import uuid4  # noqa: TID251 - tests need fresh ids only

import asyncpg
import pytest
from pydantic import SecretStr

from shared.contracts.password import CheckPasswordPolicy
from shared.errors import Error, ErrorCode
from tests.integration.password.conftest import PASSWORD, Open, import_hash, set_password, stored_hash, verify
from tests.unit.password.foreign_hashes import HASHES
from tests.unit.password.foreign_hashes import PASSWORD as FOREIGN_PASSWORD

SLOW = {"memory_kib": 131072, "time_cost": 1}
"""Of argon2id: about five times the default, so that what must happen meanwhile has the time to."""


async def test_set_and_verify(open_service: Open) -> None:
    """The right password is right, any other is wrong, and a new one ends the old one."""
    user = uuid4()
    async with open_service() as bus:
        await set_password(bus, user)
        assert await verify(bus, user, PASSWORD)
        assert not await verify(bus, user, PASSWORD.upper())
        await set_password(bus, user, "another sentence altogether")
        assert not await verify(bus, user, PASSWORD)
        assert await verify(bus, user, "another sentence altogether")


async def test_nobody(open_service: Open) -> None:
    """Without a user, or without a password of theirs, every password is wrong."""
    async with open_service() as bus:
        assert not await verify(bus, None, PASSWORD)
        assert not await verify(bus, uuid4(), PASSWORD)


async def test_lengths_that_are_never_right(open_service: Open) -> None:
    """Nothing and more than 1024 characters are wrong passwords, no errors; 1024 may be right."""
    user = uuid4()
    async with open_service() as bus:
        await set_password(bus, user, "x" * 1024, enforce_policy=False)
        assert await verify(bus, user, "x" * 1024)
        assert not await verify(bus, user, "x" * 1025)
        assert not await verify(bus, user, "")


async def test_weak_password(open_service: Open) -> None:
    """A weak password is refused with everything that is wrong with it, and the old one stays."""
    user = uuid4()
    async with open_service() as bus:
        await set_password(bus, user)
        with pytest.raises(Error) as caught:
            await set_password(bus, user, "someone1", context=["someone@example.com"])
        assert caught.value.code == ErrorCode.WEAK_PASSWORD
        assert caught.value.detail == {"reasons": ["too_short", "context"], "min_length": 15}
        assert await verify(bus, user, PASSWORD)


async def test_the_policy_can_be_asked_before_anything_is_spent(
    open_service: Open, database: asyncpg.Connection
) -> None:
    """A password is refused as it would be when it is set, or accepted, and nothing is stored either way."""
    words = ["someone@example.com"]
    async with open_service() as bus:
        await bus.call(CheckPasswordPolicy(password=SecretStr(PASSWORD), context=words))
        for weak in ("someone1", "", "x" * 5000, "someone@example.com"):
            with pytest.raises(Error) as asked:
                await bus.call(CheckPasswordPolicy(password=SecretStr(weak), context=words))
            with pytest.raises(Error) as told:
                await set_password(bus, uuid4(), weak, context=words)
            assert asked.value.code == ErrorCode.WEAK_PASSWORD
            assert asked.value.detail == told.value.detail
            assert asked.value.detail["reasons"]
    assert await database.fetchval("SELECT count(*) FROM password.passwords") == 0


async def test_past_the_policy(open_service: Open) -> None:
    """An administrator may set a weak password."""
    user = uuid4()
    async with open_service() as bus:
        await set_password(bus, user, "Secret123", enforce_policy=False)
        assert await verify(bus, user, "Secret123")


async def test_time_tells_nothing(open_service: Open) -> None:
    """A wrong password takes as long for an unknown user as for a known one, and as long when it is absurdly long."""
    user = uuid4()
    loop = asyncio.get_running_loop()
    cases = {
        "known": (user, "wrong"),
        "unknown": (uuid4(), "wrong"),
        "nobody": (None, "wrong"),
        "long": (user, "x" * 5000),
    }
    times: dict[str, list[float]] = {name: [] for name in cases}
    async with open_service() as bus:
        await set_password(bus, user)
        for _ in range(9):
            for name, (user_id, password) in cases.items():
                started = loop.time()
                await verify(bus, user_id, password)
                times[name].append(loop.time() - started)
    known = median(times["known"])
    assert all(known / 2 < median(samples) < known * 2 for samples in times.values()), times


async def test_rehash_at_the_next_sign_in(open_service: Open, database: asyncpg.Connection) -> None:
    """A hash from elsewhere is replaced by ours at the first sign-in, not by a failed one, and the password stays."""
    user = uuid4()
    async with open_service() as bus:
        await import_hash(bus, user, HASHES["django pbkdf2_sha256"])
        assert not await verify(bus, user, "wrong")
    assert await stored_hash(database, user) == HASHES["django pbkdf2_sha256"]
    async with open_service() as bus:
        assert await verify(bus, user, FOREIGN_PASSWORD)
    assert (await stored_hash(database, user)).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    async with open_service() as bus:
        assert await verify(bus, user, FOREIGN_PASSWORD)


async def test_raised_strength(open_service: Open, database: asyncpg.Connection) -> None:
    """After the operator raises the strength, users come over as they sign in."""
    user = uuid4()
    async with open_service() as bus:
        await set_password(bus, user)
    async with open_service(time_cost=3) as bus:
        assert await verify(bus, user, PASSWORD)
    assert "t=3" in await stored_hash(database, user)


async def test_rehash_never_brings_an_old_password_back(open_service: Open, database: asyncpg.Connection) -> None:
    """A password changed while the old one is being rehashed stays changed."""
    user = uuid4()
    changed = "$2b$04$MiHOZUwXXoD8QCbiCOcNku/9cvfXxTXsxGAhqWK.7QPpXiHkquwze"
    async with open_service(**SLOW) as bus:
        await import_hash(bus, user, HASHES["django pbkdf2_sha256"])
        assert await verify(bus, user, FOREIGN_PASSWORD)
        await import_hash(bus, user, changed)
    assert await stored_hash(database, user) == changed


async def test_refused_import(open_service: Open) -> None:
    """A hash that nobody could verify, or that costs too much, is refused and leaves the user as they were."""
    user = uuid4()
    async with open_service() as bus:
        await set_password(bus, user)
        for stored in ("md5$whatever", "$2b$31$MiHOZUwXXoD8QCbiCOcNku/9cvfXxTXsxGAhqWK.7QPpXiHkquwze"):
            with pytest.raises(Error) as caught:
                await import_hash(bus, user, stored)
            assert caught.value.code == ErrorCode.INVALID_REQUEST
        assert await verify(bus, user, PASSWORD)


async def test_overload_is_told(open_service: Open) -> None:
    """When too many hashes wait, callers hear so at once and when to come back; the others are served."""
    user = uuid4()
    async with open_service(workers=1, queue=1, **SLOW) as bus:
        await set_password(bus, user)
        calls = (verify(bus, user, PASSWORD) for _ in range(8))
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        refused = [outcome for outcome in outcomes if isinstance(outcome, Error)]
        assert {error.code for error in refused} == {ErrorCode.OVERLOADED}
        assert all(error.retry_after for error in refused)
        assert outcomes.count(True) == 8 - len(refused) >= 2
        assert await verify(bus, user, PASSWORD)


async def test_loop_stays_responsive(open_service: Open) -> None:
    """While hashes are made the service goes on with everything else."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    user = uuid4()
    async with open_service(workers=1, **SLOW) as bus:
        await set_password(bus, user)
        ticking = asyncio.create_task(tick())
        await asyncio.gather(*(verify(bus, user, "wrong") for _ in range(4)))
        ticking.cancel()
        # On the loop, four hashes would have left room for four turns or so.
        assert ticks > 16
