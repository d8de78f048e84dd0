"""What goes on while Redis is away, and what is refused."""

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import pytest
from pydantic import SecretStr

from shared.contracts.identity import ChangePassword, DisableTotp, ResetPassword
from shared.errors import Error
from tests.integration.identity.conftest import (
    CODE,
    EMAIL,
    LINK_CODE,
    NEW_PASSWORD,
    PASSWORD,
    TOTP_SECRET,
    Identity,
    Platform,
    outcome,
)
from tests.support.proxy import TcpProxy
from tests.support.waiting import eventually

STRICTER = 5


@asynccontextmanager
async def without_redis(platform: Platform, proxy: TcpProxy) -> AsyncIterator[Identity]:
    """`identity`, whose Redis goes away after it was used."""
    async with platform.running() as identity:
        await identity.create(email="warm@example.com")
        assert await outcome(identity.authenticate("warm@example.com")) == "ok"
        proxy.refusing = True
        proxy.cut()
        yield identity


@pytest.fixture
async def proxy(platform: Platform) -> AsyncIterator[TcpProxy]:
    """What stands between `identity` and Redis."""
    parts = urlsplit(platform.settings["DRAGOMAN_REDIS_URL"])
    async with TcpProxy(parts.hostname or "", parts.port or 6379) as standing:
        user = parts.netloc.rpartition("@")[0]
        netloc = f"{user}@127.0.0.1:{standing.port}" if user else f"127.0.0.1:{standing.port}"
        platform.settings["DRAGOMAN_REDIS_URL"] = urlunsplit(parts._replace(netloc=netloc))
        yield standing


async def test_passwords_go_on_under_a_stricter_limit(platform: Platform, proxy: TcpProxy) -> None:
    """A password still counts, half as many may fail, and the delays are the same; strangers are no exception."""
    async with without_redis(platform, proxy) as identity:
        user = await identity.create()
        assert await outcome(identity.authenticate(EMAIL)) == "ok"
        for name in (EMAIL, "nobody"):
            outcomes = [await outcome(identity.authenticate(name, "wrong")) for _ in range(STRICTER + 2)]
            assert outcomes[STRICTER:] == ["too_many_attempts"] * 2
            assert "too_many_attempts" not in outcomes[:STRICTER]
        asked = [call for call in platform.password.asked if call.user_id == user.id]
        assert len(asked) == 1 + STRICTER
        platform.clock.advance(1)
        assert await outcome(identity.authenticate(EMAIL)) == "ok"
        read = identity.kit.telemetry.registry.get_sample_value
        labels = {"outcome": "delayed without redis", "source": "unknown"}
        assert read("dragoman_identity_attempts_total", labels) == 4


async def test_known_sources_make_no_difference(platform: Platform, proxy: TcpProxy) -> None:
    """Where somebody has signed in before has no allowance of its own then, and is known again afterwards."""
    home, strange = "192.0.2.1/32", "203.0.113.9/32"
    async with platform.running() as identity:
        await identity.create()
        assert await outcome(identity.authenticate(EMAIL, source=home)) == "ok"
        proxy.refusing = True
        proxy.cut()
        for source in (home, strange, home, None, home):
            assert await outcome(identity.authenticate(EMAIL, "wrong", source=source)) == "wrong_password"
        for source in (home, strange, None):
            assert await outcome(identity.authenticate(EMAIL, source=source)) == "too_many_attempts"
        proxy.refusing = False
        for _ in range(10):
            assert await outcome(identity.authenticate(EMAIL, "wrong", source=strange)) == "wrong_password"
        assert await outcome(identity.authenticate(EMAIL, source=strange)) == "too_many_attempts"
        assert await outcome(identity.authenticate(EMAIL, source=home)) == "ok"


async def test_codes_are_refused(platform: Platform, proxy: TcpProxy) -> None:
    """No code is compared whose guesses nobody could count, and no challenge is made or met."""
    async with without_redis(platform, proxy) as identity:
        user = await identity.create(totp_secret=TOTP_SECRET)
        await identity.create(email="mailed@example.com", email_second_factor=True)
        await identity.create(email="renew@example.com", must_change_password=True)
        gateway = identity.callers["gateway"]
        proof, password = SecretStr(CODE), SecretStr(NEW_PASSWORD)
        platform.otp.live[f"user:{user.id}", "password_reset"] = CODE
        for asked in (
            identity.authenticate(EMAIL, CODE),
            identity.authenticate(EMAIL, second_factor="inline", code=identity.totp()),
            identity.challenged(EMAIL),
            identity.challenged("mailed@example.com"),
            identity.challenged("renew@example.com"),
            identity.answer("second_factor", str(user.id), identity.totp()),
            gateway.call(DisableTotp(user_id=user.id, code=SecretStr(identity.totp()))),
            gateway.call(ResetPassword(identifier=EMAIL, proof=proof, new_password=password)),
        ):
            assert await outcome(asked) == "unavailable"
        assert (platform.otp.checked, platform.otp.issued) == ([], [])
        assert await outcome(identity.authenticate(EMAIL)) == "second_factor_required"
        assert await outcome(identity.authenticate("renew@example.com")) == "password_change_required"
        proxy.refusing = False
        assert await outcome(identity.authenticate(EMAIL, second_factor="inline", code=identity.totp())) == "ok"


async def test_passwords_are_changed(platform: Platform, proxy: TcpProxy) -> None:
    """Who knows the password replaces it; a link, which nobody can guess, still resets one."""
    async with without_redis(platform, proxy) as identity:
        user = await identity.create()
        gateway = identity.callers["gateway"]
        change = ChangePassword(user_id=user.id, password=SecretStr(PASSWORD), new_password=SecretStr(NEW_PASSWORD))
        assert await outcome(gateway.call(change)) == "ok"
        platform.otp.live[f"user:{user.id}", "password_reset_link"] = LINK_CODE
        token = f"{link_handle(user.id.bytes)}.{LINK_CODE}"
        reset = ResetPassword(proof=SecretStr(token), new_password=SecretStr(PASSWORD))
        assert await outcome(gateway.call(reset)) == "ok"
        assert platform.password.kept[user.id] == PASSWORD


async def test_readiness(platform: Platform, proxy: TcpProxy) -> None:
    """Readiness says that Redis is away, and that it is back."""
    async with without_redis(platform, proxy) as identity:
        assert "unavailable" in (await identity.kit.health.report())["redis"]
        proxy.refusing = False
        assert (await identity.kit.health.report())["redis"] == "ok"


async def test_redis_that_does_not_answer(platform: Platform, proxy: TcpProxy) -> None:
    """A Redis that hangs is given up soon enough to answer in time, and not waited for again by each request."""
    loop, home = asyncio.get_running_loop(), "192.0.2.1/32"
    async with platform.running() as identity:
        await identity.create()
        assert await outcome(identity.authenticate(EMAIL, source=home)) == "ok"
        proxy.freeze()
        took = []
        for secret, expected in ((PASSWORD, "ok"), ("wrong", "wrong_password"), (PASSWORD, "ok")):
            started = loop.time()
            assert await outcome(identity.authenticate(EMAIL, secret, source=home)) == expected
            took.append(loop.time() - started)
        assert took[0] < 2.5
        assert took[1] + took[2] < 2.5, "each of them waited for Redis"
        proxy.thaw()

        async def is_shared_again() -> bool | None:
            await outcome(identity.authenticate(EMAIL, source=home))
            labels = {"outcome": "admitted", "source": "known"}
            counted = identity.kit.telemetry.registry.get_sample_value("dragoman_identity_attempts_total", labels)
            return True if counted else None

        assert await eventually(is_shared_again, 10.0, "attempts are counted in Redis again")


async def test_redis_that_goes_away_in_the_middle(platform: Platform, proxy: TcpProxy) -> None:
    """A right password counts even if its attempt can't be taken back; the one left counts as a failure."""
    async with platform.running() as identity:
        await identity.create()

        async def cut() -> None:
            proxy.refusing = True
            proxy.cut()

        platform.password.verifying = cut
        assert await outcome(identity.authenticate(EMAIL)) == "ok"
        platform.password.verifying, proxy.refusing = None, False
        outcomes = [await outcome(identity.authenticate(EMAIL, "wrong")) for _ in range(10)]
        assert outcomes == ["wrong_password"] * 9 + ["overloaded"]  # since the one left may still turn out right
        platform.clock.advance(10)
        assert await outcome(identity.authenticate(EMAIL, "wrong")) == "wrong_password"
        with pytest.raises(Error) as refused:
            await identity.authenticate(EMAIL, "wrong")
        assert (refused.value.code, refused.value.retry_after) == ("too_many_attempts", 2)


def link_handle(user_id: bytes) -> str:
    """How a link names its user."""
    return urlsafe_b64encode(user_id).rstrip(b"=").decode()
