"""Limits that an operator changes while clients are served."""

from itertools import count

import pytest

from shared.contracts.identity import SetSecuritySetting
from tests.dialects.conftest import OpenPlatform
from tests.dialects.running import Platform
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = "/api/v2/signin"
DEADLINE_SECONDS = 10.0


async def change(platform: Platform, value: str | None) -> None:
    """Change the limits as an operator does."""
    await platform.operate(SetSecuritySetting(name="limits", value=value, changed_by="ada"))


async def policy(platform: Platform, email: str) -> tuple[int, str]:
    """The status of signing in with a wrong password, and the limits that the answer tells."""
    answer = await platform.send("POST", PATH, json={"email": email, "password": "wrong"})
    return answer.status, answer.headers.get("RateLimit-Policy", "")


async def until(platform: Platform, expected: str) -> None:
    """Return once answers tell these limits."""

    async def look() -> bool | None:
        return (await policy(platform, "waiting@example.com"))[1] == expected or None

    await eventually(look, DEADLINE_SECONDS, f"the limits are {expected or 'off'}")


async def unreadable(platform: Platform) -> None:
    """Return once the gateway says that it cannot read the limits."""

    async def look() -> bool | None:
        return platform.telemetry.registry.get_sample_value("dragoman_security_settings_stale") == 1 or None

    await eventually(look, DEADLINE_SECONDS, "the limits are unreadable")


async def test_limits_are_followed(open_other: OpenPlatform) -> None:
    """New limits are followed, unreadable ones change nothing, and without any the gateway's own hold again."""
    async with open_other() as platform:
        assert await policy(platform, "one@example.com") == (401, "")
        await change(platform, f"{PATH} account=2/60 account_at_address=off address=off block=60")
        await until(platform, '"account";q=2;w=60')
        statuses = [(await policy(platform, "two@example.com"))[0] for _ in range(3)]
        assert statuses == [401, 401, 429]
        await change(platform, "no limits at all")
        await unreadable(platform)
        assert await policy(platform, "three@example.com") == (401, '"account";q=2;w=60')
        await change(platform, f"{PATH} account=3/60 account_at_address=off address=off block=60")
        await until(platform, '"account";q=3;w=60')
        await change(platform, None)
        await until(platform, "")
        assert (await policy(platform, "two@example.com"))[0] == 401


async def test_numbers_of_the_country(open_other: OpenPlatform) -> None:
    """A number without its country code has the limit of the same number with it, in whatever country that is."""
    limits = "/v1/forgot-password account=1/600 address=off block=600"
    async with open_other(gateway_limits=limits, identity_default_region="NZ") as platform:

        async def asked(number: str) -> int:
            return (await platform.send("POST", "/v1/forgot-password", json={"username": number})).status

        numbers = count(1000)

        async def look() -> bool | None:
            number = next(numbers)
            assert await asked(f"+64 21 123 {number}") == 204
            return await asked(f"021 123 {number}") == 429 or None

        await eventually(look, DEADLINE_SECONDS, "the gateway has heard what country it is in")
        assert await asked("+49 21 123 1000") == 204  # as it is written at home, it looks like the first
