"""Five hundred guesses at one code at the same moment: a handful are compared, and the code is worth nothing then."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr

from services.otp.codes import Codes
from services.otp.repository import Attempt, Checked, CodeRecords
from shared.contracts.identity import CreateUser
from shared.settings import decode_key
from tests.dialects.doors import BACKOFFICE, OAUTH2, gives_tokens
from tests.dialects.running import KEY, Answer, Platform, Servers, load_demo, open_platform

pytestmark = pytest.mark.asyncio(loop_scope="module")

GUESSES = 500
MOST = 5
OLD, NEW = "correct horse battery staple", "another horse, another staple"


class Comparisons:
    """How often somebody's code was compared with a guess: the real thing, counted from outside."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._compared: list[str] = []
        check = CodeRecords.check

        async def counted(
            records: CodeRecords, account: str, purpose: str, attempt: Attempt, window: timedelta
        ) -> Checked:
            checked = await check(records, account, purpose, attempt, window)
            if checked.outcome in {"accepted", "wrong_code"}:
                self._compared.append(account)
            return checked

        monkeypatch.setattr(CodeRecords, "check", counted)

    def of(self, user_id: object) -> int:
        """Those of this user's codes."""
        return self._compared.count(Codes(decode_key(SecretStr(KEY)), 6).account_name(f"user:{user_id}"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform(servers: Servers) -> AsyncIterator[Platform]:
    """Few passwords may wait to be verified, so that guesses that are no code either are soon done with."""
    async with open_platform(servers, password_queue="4") as running:
        await load_demo(running)
        yield running


@pytest.fixture
def comparisons(monkeypatch: pytest.MonkeyPatch) -> Comparisons:
    """What was compared since the test began."""
    return Comparisons(monkeypatch)


async def new_user(platform: Platform, name: str, **more: Any) -> tuple[object, str]:
    """A user of the test's own; the id and the e-mail address."""
    email = f"{name}@guessed.example.com"
    user = await platform.operate(CreateUser(email=email, password=OLD, enforce_policy=False, **more))
    platform.clock.advance(1)
    return user.id, email


async def guess(right: str, attempt: Callable[[int, str], Awaitable[Answer]]) -> None:
    """Send all guesses at once, none of them the right one; each is refused, and none breaks anything."""
    wrong = [f"{(int(right) + n) % 1_000_000:06d}" for n in range(1, GUESSES + 1)]
    answers = await asyncio.gather(*(attempt(n, code) for n, code in enumerate(wrong)))
    assert len(answers) == GUESSES
    assert {answer.status for answer in answers} <= {400, 401, 429, 503}
    assert not any(gives_tokens(answer) for answer in answers)


async def test_sign_in_code(platform: Platform, comparisons: Comparisons) -> None:
    """A code that signs in: it can be tried five times, and then the right one is refused as well."""
    user_id, email = await new_user(platform, "coded")
    assert (await platform.send_code(email=email))[0] == 200
    code = await platform.code_for(email)
    await guess(code, lambda _, wrong: OAUTH2.sign_in(platform, email, wrong))
    assert comparisons.of(user_id) == MOST
    platform.clock.advance(2)  # identity's own delay is over, and otp refuses
    assert not gives_tokens(await OAUTH2.sign_in(platform, email, code))
    assert comparisons.of(user_id) == MOST
    platform.clock.advance(4)
    assert gives_tokens(await OAUTH2.sign_in(platform, email, OLD))


async def test_second_factor_by_email(platform: Platform, comparisons: Comparisons) -> None:
    """A code of a second factor: however many challenges ask for it, all together have five attempts."""
    user_id, email = await new_user(platform, "challenged", email_second_factor=True)
    asked = [await BACKOFFICE.sign_in(platform, email, OLD) for _ in range(5)]
    tokens = [answer.json()["2faDetails"]["token"] for answer in asked]
    code = await platform.code_for(email)

    async def confirm(n: int, typed: str) -> Answer:
        body = {"token": tokens[n % len(tokens)], "code": typed}
        return await platform.send("POST", "/api/v2/2fa/confirm", json=body)

    await guess(code, confirm)
    assert comparisons.of(user_id) == MOST
    platform.clock.advance(2)
    tokens.append((await BACKOFFICE.sign_in(platform, email, OLD)).json()["2faDetails"]["token"])
    assert not gives_tokens(await confirm(-1, code))
    assert comparisons.of(user_id) == MOST


async def test_confirmation_code(platform: Platform, comparisons: Comparisons) -> None:
    """A code that resets a password: after five attempts the password stays what it was."""
    user_id, email = await new_user(platform, "forgot")
    assert (await platform.send("POST", "/v1/forgot-password", json={"username": email})).status == 204
    code = await platform.code_for(email)

    async def confirm(_: int, typed: str) -> Answer:
        body = {"username": email, "password": NEW, "confirmation_code": typed}
        return await platform.send("POST", "/v1/forgot-password-confirm", json=body)

    await guess(code, confirm)
    assert comparisons.of(user_id) == MOST
    platform.clock.advance(2)
    assert (await confirm(0, code)).status == 429
    assert comparisons.of(user_id) == MOST
    platform.clock.advance(4)
    assert gives_tokens(await OAUTH2.sign_in(platform, email, OLD))
