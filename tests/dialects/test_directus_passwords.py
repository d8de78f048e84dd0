"""Signing in and forgotten passwords at the `directus` dialect, beyond what the golden exchanges show."""

import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr
from structlog.testing import capture_logs

from deploy.inbox.mailbox import Query
from shared.contracts.identity import CreateUser, SuspendUser
from tests.dialects.conftest import OpenPlatform
from tests.dialects.exchanges import check_headers
from tests.dialects.running import Answer, Platform

pytestmark = pytest.mark.asyncio(loop_scope="module")

NEW = "a-new-and-long-enough-one"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform(open_other: OpenPlatform) -> AsyncIterator[Platform]:
    """A platform whose reset links may also lead to an application."""
    allowed = "https://app.example.com/reset"
    async with open_other(
        gateway_directus_login_stall_ms="0", gateway_directus_password_reset_url_allow_list=allowed
    ) as running:
        yield running


async def new_user(platform: Platform, name: str, **attributes: Any) -> str:
    """A user of the test's own, with the password def56789; the e-mail address."""
    email = f"{name}@example.com"
    await platform.operate(CreateUser(email=email, password=SecretStr("def56789"), enforce_policy=False, **attributes))
    return email


async def login(platform: Platform, email: str, password: str = "def56789", **fields: Any) -> Answer:
    """POST /auth/login."""
    return await platform.send("POST", "/auth/login", json={"email": email, "password": password} | fields)


async def ask(platform: Platform, email: str, headers: dict[str, str] | None = None, **fields: str) -> None:
    """Ask for a reset link, and be answered as everybody is."""
    answer = await platform.send("POST", "/auth/password/request", json={"email": email} | fields, headers=headers)
    assert (answer.status, answer.text) == (204, "")


async def reset(platform: Platform, token: str, password: str = NEW) -> Answer:
    """POST /auth/password/reset."""
    return await platform.send("POST", "/auth/password/reset", json={"token": token, "password": password})


async def link_to(platform: Platform, email: str) -> str:
    """The mail with the newest link."""
    await platform.link_token_for(email)
    return platform.mailbox.find(Query(to=email))[0].text


async def test_links_are_not_built_from_the_request(platform: Platform) -> None:
    """Whatever host a request names, the link leads to the platform's own page."""
    email = await new_user(platform, "poisoned")
    forged = {"Host": "evil.example.com", "X-Forwarded-Host": "evil.example.com", "Forwarded": "host=evil.example.com"}
    await ask(platform, email, headers=forged)
    mail = await link_to(platform, email)
    assert "https://id.example.com/admin/reset-password?token=" in mail
    assert "evil" not in mail


async def test_a_page_that_is_allowed(platform: Platform) -> None:
    """A link leads to the page that was asked for, with its query, but with no other token than ours."""
    email = await new_user(platform, "guided")
    await ask(platform, email, reset_url="https://app.example.com/reset?lang=de&token=forged")
    mail = await link_to(platform, email)
    assert f"https://app.example.com/reset?lang=de&token={await platform.link_token_for(email)}" in mail


async def test_strangers_get_no_mail(platform: Platform) -> None:
    """Nobody who has no account, or may not use it, is written to."""
    suspended = await new_user(platform, "suspended-forgetful")
    await platform.operate(SuspendUser(identifier=suspended))
    known = await new_user(platform, "forgetful")
    for email in (suspended, "stranger@example.com", known):
        await ask(platform, email)
    await platform.link_token_for(known)  # asked for last, and so sent last
    assert platform.mailbox.find(Query(to=suspended)) == []
    assert platform.mailbox.find(Query(to="stranger@example.com")) == []


async def test_a_reset_leaves_the_second_factor(platform: Platform) -> None:
    """A new password does not do without the second factor."""
    email = await new_user(platform, "careful", email_second_factor=True)
    await ask(platform, email)
    assert (await reset(platform, await platform.link_token_for(email))).status == 204
    platform.clock.advance(1)
    answer = await login(platform, email, NEW)
    assert json.loads(answer.text)["errors"][0]["extensions"]["code"] == "INVALID_OTP"


async def test_a_link_of_a_user_who_was_suspended_meanwhile(platform: Platform) -> None:
    """A link that was sent in time is no way back in."""
    email = await new_user(platform, "expelled-meanwhile")
    await ask(platform, email)
    token = await platform.link_token_for(email)
    await platform.operate(SuspendUser(identifier=email))
    assert (await reset(platform, token)).status == 403
    assert (await login(platform, email, NEW)).status == 401


async def test_a_forged_link_costs_the_user_nothing(platform: Platform) -> None:
    """However often somebody tries tokens for a user's link, it goes on to work."""
    email = await new_user(platform, "targeted")
    await ask(platform, email)
    token = await platform.link_token_for(email)
    forged = token[:-1] + ("A" if token[-1] != "A" else "B")
    for _ in range(20):
        assert (await reset(platform, forged)).status == 403
    assert (await reset(platform, token)).status == 204


async def test_too_many_failures(platform: Platform) -> None:
    """Who fails too often waits, with the right password too, and is told how long and until when; then it goes on."""
    email = await new_user(platform, "guessed")
    while (answer := await login(platform, email, "wrong")).status == 401:
        pass
    check_headers(answer)
    seconds = answer.headers["Retry-After"]
    assert answer.status == 429
    [error] = json.loads(answer.text)["errors"]
    assert error["message"] == f"Too many requests, retry after {seconds}s."
    assert error["extensions"].keys() == {"code", "reset"}
    assert (error["extensions"]["code"], error["extensions"]["reset"][-1]) == ("REQUESTS_EXCEEDED", "Z")
    left = datetime.fromisoformat(error["extensions"]["reset"]) - platform.clock.now()
    assert timedelta(seconds=int(seconds) - 1) <= left <= timedelta(seconds=int(seconds))
    assert (await login(platform, email)).status == 429
    platform.clock.advance(int(seconds))
    assert (await login(platform, email)).status == 200


@pytest.mark.parametrize("password", ["x" * 1025, "x" * 60_000, "\x01", "def56789 ", "DEF56789"])
async def test_passwords_that_are_not_the_password(platform: Platform, password: str) -> None:
    """However odd, a wrong password is a wrong password."""
    answer = await login(platform, "someone@example.com", password)
    assert (answer.status, json.loads(answer.text)["errors"][0]["message"]) == (401, "Invalid user credentials.")


async def test_no_secret_is_logged(platform: Platform) -> None:
    """Neither passwords nor codes nor tokens show in the log of any component, whatever becomes of the request."""
    email = await new_user(platform, "discreet")
    with capture_logs() as logs:
        await ask(platform, email)
        token = await platform.link_token_for(email)
        await reset(platform, token, "short-one")
        await reset(platform, token)
        await reset(platform, token)
        platform.clock.advance(1)
        tokens = json.loads((await login(platform, email, NEW)).text)["data"]
        await login(platform, email, "not-the-password", otp="987654")
        await platform.send("POST", "/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert logs
    said = str(logs)
    for secret in (
        token,
        "short-one",
        NEW,
        "not-the-password",
        "987654",
        tokens["access_token"],
        tokens["refresh_token"],
    ):
        assert secret not in said
