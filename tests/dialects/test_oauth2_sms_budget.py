"""SMS pumping (user-pains row 17) as it is told at `/otp/send`."""

from datetime import UTC, timedelta

import pytest

from deploy.inbox.mailbox import Query
from tests.dialects.conftest import OpenPlatform
from tests.dialects.exchanges import check_headers
from tests.dialects.running import Answer, Platform

pytestmark = pytest.mark.asyncio(loop_scope="module")

USER, STRANGER, AUSTRIAN = "+4915112345678", "+491701234567", "+436641234567"
ANSWERED_ONCE = {"date", "x-request-id"}


async def send(platform: Platform, phone: str) -> Answer:
    """Ask for a code by SMS."""
    _, tokens = await platform.token("client_credentials")
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    answer = await platform.send("POST", "/otp/send", json={"phone": phone}, headers=headers)
    check_headers(answer)
    return answer


def lasting(answer: Answer) -> tuple[int, list[tuple[str, str]], str]:
    """What is the same in every answer of its kind, to the byte."""
    kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in ANSWERED_ONCE]
    return answer.status, kept, answer.text


@pytest.mark.parametrize("welcome", ["true", "false"])
async def test_a_country_that_no_messages_go_to(open_other: OpenPlatform, welcome: str) -> None:
    """A number of another country is refused by the name of its field, whether or not new users are welcome."""
    async with open_other(otp_sms_allowed_prefixes="+49", identity_allow_new_users=welcome) as platform:
        answer = await send(platform, AUSTRIAN)
        errors = {"phone": ["No messages are sent to numbers with this prefix."]}
        assert (answer.status, answer.json()) == (422, {"errors": errors, "meta": []})
        assert (await send(platform, USER)).status == 200
        await platform.code_for(USER)
        assert {message.to for message in platform.mailbox.find(Query())} == {USER}


async def test_the_days_messages_are_gone(open_other: OpenPlatform) -> None:
    """With the budget used up users and strangers get one answer, which says when the next day begins."""
    async with open_other(otp_sms_prefix_daily_limit="1", identity_allow_new_users="false") as platform:
        now = platform.clock.now().astimezone(UTC)
        noon = (now + timedelta(days=1)).replace(hour=12, minute=0, second=0, microsecond=0)
        platform.clock.advance((noon - now).total_seconds())
        assert (await send(platform, STRANGER)).status == 200
        assert (await send(platform, USER)).status == 200
        code = await platform.code_for(USER)
        assert (await send(platform, USER)).status == (await send(platform, STRANGER)).status == 200
        platform.clock.advance(30)
        refused = await send(platform, USER)
        assert refused.status == 503
        assert refused.headers["Retry-After"] == str(12 * 3600 - 30)
        assert refused.json()["error"] == "temporarily_unavailable"
        platform.clock.advance(60)
        again = [await send(platform, phone) for phone in (USER, STRANGER, "+491709999999")]
        assert lasting(again[0]) == lasting(again[1]) == lasting(again[2])
        # Neither e-mail nor the code that came is concerned.
        assert (await platform.send_code(email="someone@example.com"))[0] == 200
        await platform.sign_in(USER, code)
        assert len(platform.mailbox.find(Query(to=USER))) == 1
        platform.clock.advance(12 * 3600)
        assert (await send(platform, USER)).status == 200
