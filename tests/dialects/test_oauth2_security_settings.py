"""Security settings changed while clients are served, as seed 000's control room does."""

import pytest

from deploy.inbox.mailbox import Query
from shared.contracts.identity import SetSecuritySetting
from tests.dialects.conftest import OpenPlatform
from tests.dialects.running import Platform

pytestmark = pytest.mark.asyncio(loop_scope="module")

USER = "someone@example.com"


async def change(platform: Platform, name: str, value: str | None) -> None:
    """Change a setting as an operator does."""
    await platform.operate(SetSecuritySetting(name=name, value=value, changed_by="ada"))


async def grant(platform: Platform, username: str, password: str) -> tuple[int, str | None]:
    """The status of the password grant, and its error."""
    status, body = await platform.token("password", username=username, password=password)
    return status, body.get("error")


async def test_codes_are_turned_off_and_on(open_other: OpenPlatform) -> None:
    """Once codes are off asking for one is refused with 403, and one that was sent before is a wrong password."""
    async with open_other() as platform:
        assert (await platform.send_code(email=USER))[0] == 200
        code = await platform.code_for(USER)
        await change(platform, "otp_enabled", "off")
        status, body = await platform.send_code(email=USER)
        assert (status, body["error"]) == (403, "access_denied")
        assert await grant(platform, USER, code) == (400, "invalid_grant")
        await change(platform, "otp_enabled", None)
        assert (await platform.send_code(email=USER))[0] == 200
        assert await grant(platform, USER, code) == (200, None)


async def test_new_users_become_unwelcome(open_other: OpenPlatform) -> None:
    """Once new users are not welcome an unknown address gets the same answer and no code; an earlier code is no use."""
    async with open_other() as platform:
        await platform.send_code(email="early@example.com")
        code = await platform.code_for("early@example.com")
        await change(platform, "allow_new_users", "no")
        late = await platform.send_code(email="late@example.com")
        assert late == (200, {"data": {"email": "late@example.com"}, "meta": []})
        assert await grant(platform, "early@example.com", code) == (400, "invalid_grant")
        # What was asked for last has arrived; by then the other one would have arrived too.
        await platform.send_code(email=USER)
        await platform.code_for(USER)
        assert {message.to for message in platform.mailbox.find(Query())} == {"early@example.com", USER}


@pytest.mark.parametrize(("waited", "outcome"), [(119, (200, None)), (120, (400, "invalid_grant"))])
async def test_life_of_codes(open_other: OpenPlatform, waited: int, outcome: tuple[int, str | None]) -> None:
    """A code lives as long as was set last, to the second."""
    async with open_other() as platform:
        await change(platform, "otp_ttl_seconds", "120")
        await platform.send_code(email=USER)
        code = await platform.code_for(USER)
        platform.clock.advance(waited)
        assert await grant(platform, USER, code) == outcome
