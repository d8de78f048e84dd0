"""Who gets in at the `oauth2` dialect, and what those who do not get in can learn."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import jwt
import pytest

from deploy.inbox.mailbox import Query
from shared.contracts.identity import SuspendUser
from tests.dialects.exchanges import check_headers
from tests.dialects.running import DEADLINE_SECONDS, Answer, Platform

pytestmark = pytest.mark.asyncio(loop_scope="module")

REFUSED = {"error": "invalid_grant", "error_description": "Invalid username and password combination"}
USERS = "SELECT coalesce(email, phone, username) FROM identity.users"
ANSWERED_ONCE = {"date", "x-request-id"}


async def refused(platform: Platform, username: str, password: str) -> tuple[Any, ...]:
    """Try to sign in; the refusal without what is different in every answer."""
    body = {"grant_type": "password", "client_id": "abc123", "client_secret": "456789"}
    answer = await platform.send("POST", "/oauth/v2/token", json=body | {"username": username, "password": password})
    check_headers(answer)
    return (answer.status, _lasting(answer), answer.text)


def _lasting(answer: Answer) -> list[tuple[str, str]]:
    return [(name, value) for name, value in answer.headers.items() if name.lower() not in ANSWERED_ONCE]


def other_than(code: str) -> str:
    """A code of the same form that is not this one."""
    return f"{(int(code) + 1) % 1_000_000:06d}"


async def _unknown_user(platform: Platform) -> tuple[Any, ...]:
    return await refused(platform, "nobody@example.com", "def56789")


async def _unknown_user_with_a_code(platform: Platform) -> tuple[Any, ...]:
    return await refused(platform, "nobody@example.com", "123456")


async def _no_identifier_at_all(platform: Platform) -> tuple[Any, ...]:
    return await refused(platform, "no such identifier, ever " * 40, "def56789")


async def _suspended(platform: Platform) -> tuple[Any, ...]:
    return await refused(platform, "expelled@example.com", "def56789")


async def _suspended_wrong_password(platform: Platform) -> tuple[Any, ...]:
    return await refused(platform, "expelled@example.com", "wrong")


async def _must_change_password(platform: Platform) -> tuple[Any, ...]:
    return await refused(platform, "renew@example.com", "def56789")


async def _endless_password(platform: Platform) -> tuple[Any, ...]:
    return await refused(platform, "someone@example.com", "p" * 60_000)


async def _wrong_code(platform: Platform) -> tuple[Any, ...]:
    await platform.send_code(email="wrong-code@example.com")
    code = await platform.code_for("wrong-code@example.com")
    return await refused(platform, "wrong-code@example.com", other_than(code))


async def _expired_code(platform: Platform) -> tuple[Any, ...]:
    await platform.send_code(email="expired-code@example.com")
    code = await platform.code_for("expired-code@example.com")
    platform.clock.advance(600)
    return await refused(platform, "expired-code@example.com", code)


async def _used_code(platform: Platform) -> tuple[Any, ...]:
    await platform.send_code(email="used-code@example.com")
    code = await platform.code_for("used-code@example.com")
    await platform.sign_in("used-code@example.com", code)
    return await refused(platform, "used-code@example.com", code)


async def _another_ones_code(platform: Platform) -> tuple[Any, ...]:
    await platform.send_code(email="her-code@example.com")
    code = await platform.code_for("her-code@example.com")
    return await refused(platform, "admin@example.com", code)


async def _worn_out_code(platform: Platform) -> tuple[Any, ...]:
    await platform.send_code(email="worn-out@example.com")
    code = await platform.code_for("worn-out@example.com")
    for _ in range(5):
        await refused(platform, "worn-out@example.com", other_than(code))
    return await refused(platform, "worn-out@example.com", code)


@pytest.mark.parametrize(
    "reason",
    [
        _unknown_user,
        _unknown_user_with_a_code,
        _no_identifier_at_all,
        _suspended,
        _suspended_wrong_password,
        _must_change_password,
        _endless_password,
        _wrong_code,
        _expired_code,
        _used_code,
        _another_ones_code,
        _worn_out_code,
    ],
    ids=lambda reason: reason.__name__.strip("_"),
)
async def test_one_refusal(platform: Platform, reason: Callable[[Platform], Awaitable[tuple[Any, ...]]]) -> None:
    """Whatever the reason, the refusal is the same to the byte, so that nobody learns who has an account."""
    assert await reason(platform) == await refused(platform, "someone@example.com", "wrong")
    await platform.sign_in("someone@example.com", "def56789")  # else so many failures would hold up the tests to come


async def test_code_and_password(platform: Platform) -> None:
    """A code signs in once, and the real password keeps working before and after."""
    await platform.send_code(email="someone@example.com")
    code = await platform.code_for("someone@example.com")
    await platform.sign_in("someone@example.com", "def56789")
    await platform.sign_in("SomeOne@Example.com", code)
    assert await platform.token("password", username="someone@example.com", password=code) == (400, REFUSED)
    await platform.sign_in("someone@example.com", "def56789")


async def test_code_used_twice_at_once(platform: Platform) -> None:
    """Of many who use one code at the same moment, one gets in."""
    await platform.send_code(email="race@example.com")
    code = await platform.code_for("race@example.com")
    attempts = [platform.token("password", username="race@example.com", password=code) for _ in range(5)]
    statuses = sorted(status for status, _ in await asyncio.gather(*attempts))
    assert statuses == [200, 400, 400, 400, 400]


async def test_resend(platform: Platform) -> None:
    """Who asks again at once gets one message; who asks again within a minute gets the same code again."""
    await platform.send_code(email="again@example.com")
    code = await platform.code_for("again@example.com")
    assert await platform.send_code(email="again@example.com") == (
        200,
        {"data": {"email": "again@example.com"}, "meta": []},
    )
    platform.clock.advance(30)
    await platform.send_code(email="again@example.com")
    assert await platform.code_for("again@example.com", messages=2) == code
    await platform.sign_in("again@example.com", code)


async def test_new_user_by_code(platform: Platform) -> None:
    """Asking for a code makes no account; using the code makes one."""
    before = sorted(await platform.rows(USERS))
    await platform.send_code(email="New@Example.com")
    code = await platform.code_for("new@example.com")
    assert sorted(await platform.rows(USERS)) == before
    await platform.sign_in("new@example.com", code)
    assert sorted(await platform.rows(USERS)) == sorted([*before, ("new@example.com",)])


async def test_phone_in_two_forms(platform: Platform) -> None:
    """A phone number in national and in international form is one account."""
    before = len(await platform.rows(USERS))
    await platform.send_code(phone="0170 1234567")
    first = await platform.sign_in("+49 170 1234567", await platform.code_for("+491701234567"))
    platform.clock.advance(61)
    await platform.send_code(phone="+491701234567")
    second = await platform.sign_in("01701234567", await platform.code_for("+491701234567", messages=2))
    assert len(await platform.rows(USERS)) == before + 1
    users = await platform.rows(
        "SELECT DISTINCT user_id FROM token.sessions WHERE id::text = ANY($1)",
        [_session(first), _session(second)],
    )
    assert len(users) == 1


async def test_code_by_phone_for_a_password_user(platform: Platform) -> None:
    """A code sent to the phone of a user who also has an e-mail address signs in to the same account by either."""
    before = len(await platform.rows(USERS))
    await platform.send_code(phone="+4915112345678")
    await platform.sign_in("phoned@example.com", await platform.code_for("+4915112345678"))
    assert len(await platform.rows(USERS)) == before


async def test_suspended_user_gets_no_code(platform: Platform) -> None:
    """Someone suspended is answered like everyone else and gets no message."""
    answer = await platform.send_code(email="expelled@example.com")
    assert answer == (200, {"data": {"email": "expelled@example.com"}, "meta": []})
    # What was asked for later arrives; by then the other would have arrived too.
    await platform.send_code(email="control@example.com")
    await platform.code_for("control@example.com")
    assert not platform.mailbox.find(Query(to="expelled@example.com"))


async def test_suspension_ends_sessions(platform: Platform) -> None:
    """When a user is suspended their refresh token is dead."""
    await platform.send_code(email="soon-out@example.com")
    tokens = await platform.sign_in("soon-out@example.com", await platform.code_for("soon-out@example.com"))
    await platform.operate(SuspendUser(identifier="soon-out@example.com"))
    ended = "SELECT id FROM token.sessions WHERE id::text = $1 AND revoked_at IS NOT NULL"
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await platform.rows(ended, _session(tokens)):  # noqa: ASYNC110 - a table fires no event
            await asyncio.sleep(0.01)
    status, body = await platform.token("refresh_token", refresh_token=tokens["refresh_token"])
    assert (status, body["error_description"]) == (400, "Invalid refresh token")


def _session(tokens: dict[str, Any]) -> str:
    return str(jwt.decode(tokens["access_token"], options={"verify_signature": False})["sid"])
