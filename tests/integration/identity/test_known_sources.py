"""Strangers who guess at an account do not keep its owner out of where the owner has signed in before."""

from typing import Any

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from shared.contracts.identity import ResetPassword
from tests.integration.identity.conftest import (
    CODE,
    EMAIL,
    NEW_PASSWORD,
    PASSWORD,
    PHONE,
    TOTP_SECRET,
    USERNAME,
    Identity,
    Platform,
    outcome,
)
from tests.support.urls import ServerUrls

ALLOWED = 10
REFUSED = "too_many_attempts"
HOME, OFFICE, STRANGE = "192.0.2.1/32", "2001:db8:1:2::/64", "203.0.113.9/32"
DAY = 86_400


async def try_from(identity: Identity, source: str | None, secret: str = PASSWORD, name: str = EMAIL) -> str:
    """What comes of a sign-in from there."""
    return await outcome(identity.authenticate(name, secret, source=source))


async def guess(identity: Identity, source: str | None, times: int = ALLOWED, name: str = EMAIL) -> list[str]:
    """Guess so many times from there."""
    return [await try_from(identity, source, "wrong", name) for _ in range(times)]


@pytest.fixture
async def home(identity: Identity) -> Identity:
    """`identity` with a user who has signed in at home."""
    await identity.create()
    assert await try_from(identity, HOME) == "ok"
    return identity


@pytest.mark.parametrize("strange", [STRANGE, None])
async def test_owner_is_not_kept_out(home: Identity, strange: str | None) -> None:
    """However much strangers guess, from anywhere, the owner signs in at home at once, by any name (row 21)."""
    for n in range(30):
        await guess(home, strange and f"203.0.113.{n}/32", 1)
    assert await try_from(home, strange) == REFUSED
    assert await try_from(home, OFFICE) == REFUSED
    for name in (EMAIL, PHONE, USERNAME):
        assert await try_from(home, HOME, name=name) == "ok"


async def test_sign_ins_at_home_help_no_stranger(home: Identity) -> None:
    """That the owner comes and goes gives strangers no more guesses."""
    assert await guess(home, STRANGE) == ["wrong_password"] * ALLOWED
    for _ in range(3):
        assert await try_from(home, HOME) == "ok"
        assert await guess(home, STRANGE, 1) == [REFUSED]


async def test_home_has_a_limit_too(home: Identity) -> None:
    """From a known source no more can be guessed than from elsewhere, and that holds nobody else up."""
    assert await guess(home, HOME, ALLOWED + 2) == ["wrong_password"] * ALLOWED + [REFUSED] * 2
    home.platform.clock.advance(1)
    assert await guess(home, HOME, 2) == ["wrong_password", REFUSED]
    assert await guess(home, STRANGE, ALLOWED - 1) == ["wrong_password"] * (ALLOWED - 1)
    assert await try_from(home, OFFICE) == "ok"
    assert await try_from(home, OFFICE, "wrong") == "wrong_password"
    assert await try_from(home, HOME) == REFUSED
    home.platform.clock.advance(2)
    assert await try_from(home, HOME) == "ok"
    assert await guess(home, HOME) == ["wrong_password"] * ALLOWED


async def test_each_known_source_has_its_own(home: Identity) -> None:
    """Altogether an account takes the guesses of one counter for each known source, and of one for the rest."""
    assert await try_from(home, OFFICE) == "ok"
    compared = len(home.platform.password.asked)
    for source in (HOME, OFFICE, STRANGE, None, "198.51.100.7/32"):
        await guess(home, source, ALLOWED + 3)
    outcomes = [call for call in home.platform.password.asked[compared:] if call.user_id is not None]
    assert len(outcomes) == 3 * ALLOWED


async def test_own_to_an_account(home: Identity) -> None:
    """Where one account was signed in to is no known place for another one."""
    await home.create(email="other@example.com")
    await guess(home, STRANGE, name="other@example.com")
    assert await try_from(home, HOME, name="other@example.com") == REFUSED


@pytest.mark.parametrize(("later", "expected"), [(30 * DAY - 1, "ok"), (30 * DAY, REFUSED)])
async def test_forgotten_in_time(home: Identity, later: int, expected: str) -> None:
    """A source is known for thirty days after the latest sign-in."""
    home.platform.clock.advance(5 * DAY)
    assert await try_from(home, HOME) == "ok"
    home.platform.clock.advance(later)
    await guess(home, STRANGE)
    assert await try_from(home, HOME) == expected


async def test_no_more_than_some(platform: Platform) -> None:
    """Of more sources than are kept the newest are known."""
    async with platform.running(known_sources="2") as identity:
        await identity.create()
        for source in (HOME, OFFICE, HOME, "198.51.100.7/32"):
            assert await try_from(identity, source) == "ok"
            platform.clock.advance(1)
        await guess(identity, STRANGE)
        tried = [await try_from(identity, source) for source in (OFFICE, HOME, "198.51.100.7/32")]
        assert tried == [REFUSED, "ok", "ok"]


async def test_turned_off(platform: Platform) -> None:
    """With no days nothing is remembered, and all sources count together."""
    async with platform.running(known_source_days="0") as identity:
        await identity.create()
        assert await try_from(identity, HOME) == "ok"
        await guess(identity, STRANGE)
        assert await try_from(identity, HOME) == REFUSED
    async with platform.running() as identity:
        assert await try_from(identity, HOME) == REFUSED


async def test_half_a_sign_in_makes_nothing_known(identity: Identity) -> None:
    """A right password without the second factor, or a challenge not met, makes no source known; meeting it does."""
    await identity.create(totp_secret=TOTP_SECRET)
    challenge: dict[str, Any] = {"second_factor": "challenge", "dialect": "any"}
    for more in ({"second_factor": "refuse"}, {"second_factor": "inline", "code": "000000"}, challenge):
        await outcome(identity.authenticate(EMAIL, source=HOME, **more))
    token = await identity.challenged()
    assert await outcome(identity.answer("second_factor", token, "000000", source=HOME)) == "wrong_code"
    await guess(identity, STRANGE, ALLOWED - 2)
    assert await try_from(identity, HOME, "wrong") == REFUSED
    identity.platform.clock.advance(1)
    assert await outcome(identity.answer("second_factor", token, identity.totp(), source=HOME)) == "ok"
    await guess(identity, STRANGE)
    assert await try_from(identity, HOME, "wrong") == "wrong_password"


async def test_answers_from_home(identity: Identity) -> None:
    """A second factor is proved at home, too, while strangers are held up, and guesses at it count there."""
    await identity.create(totp_secret=TOTP_SECRET)
    inline: dict[str, Any] = {"second_factor": "inline", "source": HOME}
    assert await outcome(identity.authenticate(EMAIL, code=identity.totp(), **inline)) == "ok"
    token = await identity.challenged()
    await guess(identity, STRANGE)
    assert await outcome(identity.answer("second_factor", token, "000000", source=STRANGE)) == REFUSED
    assert await outcome(identity.answer("second_factor", token, "000000", source=HOME)) == "wrong_code"
    await guess(identity, HOME, ALLOWED - 1)
    assert await outcome(identity.answer("second_factor", token, identity.totp(), source=HOME)) == REFUSED
    identity.platform.clock.advance(30)
    assert await outcome(identity.answer("second_factor", token, identity.totp(), source=HOME)) == "ok"


async def test_new_password_makes_known(identity: Identity) -> None:
    """Whoever has to set a new password, and does, is known where that happened."""
    await identity.create(must_change_password=True)
    token = await identity.challenged()
    assert await outcome(identity.answer("new_password", token, NEW_PASSWORD, source=HOME)) == "ok"
    await guess(identity, STRANGE)
    assert await try_from(identity, HOME, NEW_PASSWORD) == "ok"
    assert await try_from(identity, OFFICE, NEW_PASSWORD) == REFUSED


async def test_user_made_by_a_code(identity: Identity) -> None:
    """A user whom a code has made is known where it was used; the address alone never is."""
    new = "new@example.com"
    await identity.send_code(email=new)
    assert await try_from(identity, HOME, CODE, name=new) == "ok"
    await guess(identity, STRANGE, name=new)
    await identity.send_code(email=new)
    assert await try_from(identity, HOME, CODE, name=new) == "ok"
    await identity.delete(new)
    await guess(identity, STRANGE, name=new)
    assert await try_from(identity, HOME, "wrong", name=new) == REFUSED


async def test_strangers_accounts_are_counted_alike(home: Identity) -> None:
    """For somebody who does not exist every source is unknown, and delays are those of a user seen from there."""
    seen: list[list[str]] = []
    for name in (EMAIL, "nobody@example.com"):
        outcomes = await guess(home, STRANGE, ALLOWED // 2, name) + await guess(home, OFFICE, ALLOWED, name)
        seen.append([code.replace("no_such_user", "wrong_password") for code in outcomes])
    assert seen[0] == seen[1] == ["wrong_password"] * ALLOWED + [REFUSED] * (ALLOWED // 2)
    assert await try_from(home, HOME, "wrong", name="nobody@example.com") == REFUSED


async def test_reset_begins_anew_everywhere(home: Identity) -> None:
    """Who forgot the password, and tried at home until a delay, gets in there with the new one."""
    await guess(home, HOME)
    user = (await home.authenticate(EMAIL, source=OFFICE)).user
    home.platform.otp.live[f"user:{user.id}", "password_reset"] = CODE
    reset = ResetPassword(identifier=EMAIL, proof=SecretStr(CODE), new_password=SecretStr(NEW_PASSWORD))
    await home.callers["gateway"].call(reset)
    assert await try_from(home, HOME, NEW_PASSWORD) == "ok"


async def test_known_to_all_replicas(platform: Platform) -> None:
    """A source that one replica knows is known to the others, and after a restart."""
    async with platform.running() as identity:
        await identity.create()
        assert await try_from(identity, HOME) == "ok"
    async with platform.running() as identity:
        await guess(identity, STRANGE)
        assert await try_from(identity, HOME) == "ok"


async def test_redis_that_forgot(home: Identity, server_urls: ServerUrls, redis_prefix: str) -> None:
    """A Redis that lost what it knew knows no source, and lets nobody guess more for it."""
    async with Redis.from_url(server_urls.redis) as redis:
        await redis.delete(*[key async for key in redis.scan_iter(match=f"{redis_prefix}*")])
    await guess(home, STRANGE)
    assert await try_from(home, HOME) == REFUSED


async def test_kept_under_names_that_tell_nothing(home: Identity, server_urls: ServerUrls, redis_prefix: str) -> None:
    """Redis shows no address, the same source has another name in each account, and all of it ends by itself."""
    await home.create(email="other@example.com")
    assert await try_from(home, HOME, name="other@example.com") == "ok"
    await guess(home, HOME, 1)
    async with Redis.from_url(server_urls.redis) as redis:
        keys = [key async for key in redis.scan_iter(match=f"{redis_prefix}*")]
        sources = [key for key in keys if key.endswith(b":sources")]
        known = [name for key in sources for name in await redis.zrange(key, 0, -1)]
        lives = [await redis.ttl(key) for key in keys]
    assert len(set(known)) == len(sources) == 2
    assert not any(part in text for text in (*keys, *known) for part in (b"192.0.2", b"other", b"someone"))
    assert all(0 < life <= 30 * DAY for life in lives)


async def test_metrics_tell_known_from_unknown(home: Identity) -> None:
    """Operators see whether those who are held up are known."""
    await guess(home, STRANGE, ALLOWED + 3)
    await guess(home, HOME, ALLOWED + 1)
    read = home.kit.telemetry.registry.get_sample_value

    def attempts(outcome: str, source: str) -> float | None:
        return read("dragoman_identity_attempts_total", {"outcome": outcome, "source": source})

    assert (attempts("admitted", "unknown"), attempts("delayed", "unknown")) == (1 + ALLOWED, 3)
    assert (attempts("admitted", "known"), attempts("delayed", "known")) == (ALLOWED, 1)
