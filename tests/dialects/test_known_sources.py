"""Guesses at an account from elsewhere do not keep its owner out at home, in any dialect."""

from collections.abc import AsyncIterator

import pyotp
import pytest
import pytest_asyncio

from shared.contracts.identity import CreateUser
from tests.dialects.doors import BACKOFFICE, DIRECTUS, DOORS, OAUTH2, Door, gives_tokens
from tests.dialects.running import Answer, Platform, Servers, load_demo, open_platform

pytestmark = pytest.mark.asyncio(loop_scope="module")

PASSWORD = "correct horse battery staple"
HOME, STRANGE = "192.0.2.1", "203.0.113.9"
each_door = pytest.mark.parametrize("door", DOORS, ids=[door.name for door in DOORS])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform(servers: Servers) -> AsyncIterator[Platform]:
    """The test itself is the trusted proxy, and says where its clients are."""
    async with open_platform(servers, gateway_trusted_proxies="127.0.0.1/32") as running:
        await load_demo(running)
        yield running


async def new_user(platform: Platform, name: str, **more: object) -> str:
    """A user of the test's own; the e-mail address."""
    email = f"{name}@known.example.com"
    await platform.operate(CreateUser(email=email, password=PASSWORD, enforce_policy=False, **more))
    platform.clock.advance(1)
    return email


async def post(platform: Platform, path: str, body: dict[str, str], address: str) -> Answer:
    """What a client at an address gets."""
    return await platform.send("POST", path, json=body, headers={"X-Forwarded-For": address})


async def gets_in(platform: Platform, door: Door, email: str, address: str, password: str = PASSWORD) -> bool:
    """Whether somebody at an address gets in."""
    return gives_tokens(await post(platform, door.sign_in_path, door.sign_in_body(email, password), address))


async def guess(platform: Platform, email: str, address: str) -> None:
    """Guess through every dialect until nobody's guess is compared."""
    for n in range(12):
        assert not await gets_in(platform, DOORS[n % len(DOORS)], email, address, "a wrong guess at the password")


@each_door
async def test_owner_is_not_kept_out(platform: Platform, door: Door) -> None:
    """Who signed in at home by one dialect signs in there by any, while strangers' guesses keep strangers out."""
    email = await new_user(platform, f"owner-{door.name}")
    assert await gets_in(platform, door, email, HOME)
    await guess(platform, email, STRANGE)
    for other in DOORS:
        assert not await gets_in(platform, other, email, STRANGE)
        assert await gets_in(platform, other, email, HOME)
    await guess(platform, email, HOME)
    assert not await gets_in(platform, door, email, HOME)


async def test_second_factor_at_home(platform: Platform) -> None:
    """A challenge that was met at home makes it known, and is met there again while strangers are kept out."""
    secret = pyotp.random_base32()
    email = await new_user(platform, "factor", totp_secret=secret)

    async def confirmed(address: str) -> bool:
        asked = await post(platform, BACKOFFICE.sign_in_path, BACKOFFICE.sign_in_body(email, PASSWORD), address)
        if asked.status != 200:
            return False
        code = pyotp.TOTP(secret).at(platform.clock.now())
        body = {"token": asked.json()["2faDetails"]["token"], "code": code}
        return gives_tokens(await post(platform, "/api/v2/2fa/confirm", body, address))

    assert await confirmed(HOME)
    platform.clock.advance(30)
    await guess(platform, email, STRANGE)
    assert not await confirmed(STRANGE)
    assert await confirmed(HOME)


async def test_codes_at_home(platform: Platform) -> None:
    """Strangers who use up the attempts at an account's codes leave its owner's at home, for each kind of code."""
    email = await new_user(platform, "codes", email_second_factor=True)
    forgotten = {"username": email, "password": "another sentence of mine"}

    async def asked(address: str) -> str:
        answer = await post(platform, BACKOFFICE.sign_in_path, BACKOFFICE.sign_in_body(email, PASSWORD), address)
        return str(answer.json()["2faDetails"]["token"])

    async def confirm(address: str, token: str, code: str) -> Answer:
        return await post(platform, "/api/v2/2fa/confirm", {"token": token, "code": code}, address)

    async def reset(address: str, code: str) -> int:
        body = forgotten | {"confirmation_code": code}
        return (await post(platform, "/v1/forgot-password-confirm", body, address)).status

    token = await asked(HOME)
    assert gives_tokens(await confirm(HOME, token, await platform.code_for(email)))
    await post(platform, "/v1/forgot-password", {"username": email}, STRANGE)
    code = await platform.code_for(email, messages=2)
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    assert [await reset(STRANGE, wrong) for _ in range(6)] == [401] * 5 + [429]
    platform.clock.advance(2)
    token = await asked(HOME)
    second = await platform.code_for(email, messages=3)
    assert (await confirm(STRANGE, token, second)).status == 429
    assert gives_tokens(await confirm(HOME, token, second))
    assert await reset(STRANGE, code) == 429
    assert await reset(HOME, code) == 204


async def test_home_cannot_be_claimed(platform: Platform) -> None:
    """A stranger who writes the owner's address into the header in front of the proxy's word stays a stranger."""
    email = await new_user(platform, "claimed")
    assert await gets_in(platform, DIRECTUS, email, HOME)
    await guess(platform, email, f"{HOME}, {STRANGE}")
    assert await gets_in(platform, OAUTH2, email, HOME)
    assert not await gets_in(platform, OAUTH2, email, f"{HOME}, {STRANGE}")
