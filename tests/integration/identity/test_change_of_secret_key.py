"""The key that TOTP secrets are encrypted under is changed while everybody goes on signing in."""

import asyncio
from uuid import UUID

import pytest

from services.identity.repository.second_factors import SecondFactorRepository, StoredTotp
from shared.contracts.identity import RewrapSecrets, SecretsRewrapped
from tests.integration.identity.conftest import EMAIL, PASSWORD, SECRET_KEY, TOTP_SECRET, Identity, Platform, outcome

NEXT_KEY = "HxAREhMUFRYXGBkaGxwdHh8AAQIDBAUGBwgJCgsMDQ4"
STEP_SECONDS = 30


async def sign_in(identity: Identity, code: str, identifier: str = EMAIL) -> str:
    """What comes of a sign-in with this code as second factor."""
    return await outcome(
        identity.authenticate(identifier, PASSWORD, code=code, second_factor="inline", accept_code=False)
    )


async def enrol(identity: Identity) -> tuple[str, list[str]]:
    """The secret and the recovery codes of a user who has turned TOTP on."""
    user = await identity.create()
    setup = await identity.generate_totp(user)
    secret = setup.secret.get_secret_value()
    await identity.enable_totp(user, secret, identity.totp(secret))
    identity.platform.clock.advance(STEP_SECONDS)
    return secret, [code.get_secret_value() for code in setup.recovery_codes]


async def rewrap(identity: Identity, limit: int = 100) -> SecretsRewrapped:
    """Encrypt the secrets of all users anew, so many at a time; what came of all pages together."""
    rewrapped = unreadable = 0
    page = SecretsRewrapped(rewrapped=0, unreadable=0)
    while True:
        page = await identity.callers["operator"].call(RewrapSecrets(after=page.next, limit=limit))
        rewrapped, unreadable = rewrapped + page.rewrapped, unreadable + page.unreadable
        if page.next is None:
            return SecretsRewrapped(rewrapped=rewrapped, unreadable=unreadable)


async def test_authenticators_and_recovery_codes_outlive_the_key(platform: Platform) -> None:
    """A user of the old key signs in before the secrets are encrypted anew, after that, and without the old key."""
    async with platform.running() as identity:
        secret, codes = await enrol(identity)
    async with platform.running(secret_key=NEXT_KEY, secret_key_previous=SECRET_KEY) as identity:
        assert await sign_in(identity, identity.totp(secret)) == "ok"
        assert await sign_in(identity, codes[0]) == "ok"
        assert await rewrap(identity) == SecretsRewrapped(rewrapped=1, unreadable=0)
        assert await rewrap(identity) == SecretsRewrapped(rewrapped=0, unreadable=0)
        assert await sign_in(identity, codes[1]) == "ok"
        assert await sign_in(identity, codes[0]) == "wrong_code"
    platform.clock.advance(STEP_SECONDS)
    async with platform.running(secret_key=NEXT_KEY) as identity:
        assert await sign_in(identity, identity.totp(secret)) == "ok"
        assert await sign_in(identity, codes[2]) == "ok"
        assert [await sign_in(identity, code) for code in codes[:3]] == ["wrong_code"] * 3


async def test_recovery_codes_shown_before_the_key_changed(platform: Platform) -> None:
    """They count for an authenticator that is confirmed after the change, and go on to when the old key is gone."""
    async with platform.running(secret_key_previous=NEXT_KEY) as identity:
        user = await identity.create()
        setup = await identity.generate_totp(user)
    async with platform.running(secret_key=NEXT_KEY, secret_key_previous=SECRET_KEY) as identity:
        secret = setup.secret.get_secret_value()
        await identity.enable_totp(user, secret, identity.totp(secret))
        assert await rewrap(identity) == SecretsRewrapped(rewrapped=0, unreadable=0)
    async with platform.running(secret_key=NEXT_KEY) as identity:
        codes = [code.get_secret_value() for code in setup.recovery_codes]
        assert [await sign_in(identity, code) for code in codes] == ["ok"] * 10
        assert await sign_in(identity, codes[0]) == "wrong_code"


@pytest.mark.parametrize(
    ("key", "previous", "expected"),
    [(NEXT_KEY, SECRET_KEY, "ok"), (SECRET_KEY, NEXT_KEY, "ok"), (NEXT_KEY, "", "invalid_request")],
    ids=["after the change", "at a replica before it", "when the old key is gone"],
)
async def test_an_authenticator_that_is_confirmed_meanwhile(
    platform: Platform, key: str, previous: str, expected: str
) -> None:
    """A secret that was shown before the change counts while its key is one of the two, and recovery codes with it."""
    async with platform.running(secret_key_previous=NEXT_KEY) as identity:
        user = await identity.create()
        setup = await identity.generate_totp(user)
    secret = setup.secret.get_secret_value()
    async with platform.running(secret_key=key, secret_key_previous=previous) as identity:
        assert await outcome(identity.enable_totp(user, secret, identity.totp(secret))) == expected
        if expected == "ok":
            assert await sign_in(identity, setup.recovery_codes[0].get_secret_value()) == "ok"


async def test_a_code_is_spent_once_whatever_key_it_is_of(platform: Platform) -> None:
    """While secrets are encrypted anew, of many sign-ins with one recovery code at the same moment one gets in."""
    async with platform.running() as identity:
        _, codes = await enrol(identity)
    async with platform.running(secret_key=NEXT_KEY, secret_key_previous=SECRET_KEY) as identity:
        tried = asyncio.gather(*(sign_in(identity, codes[0]) for _ in range(6)))
        outcomes, _ = await asyncio.gather(tried, rewrap(identity))
        assert sorted(outcomes) == ["ok"] + ["wrong_code"] * 5


async def test_a_code_of_the_moment_when_its_secret_is_encrypted_anew(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A right code counts although its secret is stored anew between being read and the code's use: once, as ever."""
    async with platform.running() as identity:
        secret, _ = await enrol(identity)
    async with platform.running(secret_key=NEXT_KEY, secret_key_previous=SECRET_KEY) as identity:
        read = SecondFactorRepository.totp
        readers = 0

        async def read_then_rewrap(factors: SecondFactorRepository, user_id: UUID) -> StoredTotp | None:
            nonlocal readers
            stored = await read(factors, user_id)
            readers += 1
            if readers == 4:
                assert await rewrap(identity) == SecretsRewrapped(rewrapped=1, unreadable=0)
                rewrapped.set()
            await rewrapped.wait()
            return stored

        rewrapped = asyncio.Event()
        monkeypatch.setattr(SecondFactorRepository, "totp", read_then_rewrap)
        outcomes = await asyncio.gather(*(sign_in(identity, identity.totp(secret)) for _ in range(4)))
        assert sorted(outcomes) == ["ok"] + ["wrong_code"] * 3
        assert await sign_in(identity, identity.totp(secret)) == "wrong_code"


@pytest.mark.parametrize("limit", [0, 2, 5, 1000])
async def test_any_number_of_users(platform: Platform, limit: int) -> None:
    """Page by page everybody's secret is encrypted anew, whatever the size of a page; each opens for its own user."""
    names = [f"user-{number}@example.com" for number in range(5)]
    async with platform.running() as identity:
        for name in names:
            await identity.create(email=name, totp_secret=TOTP_SECRET)
        await identity.create()
    async with platform.running(secret_key=NEXT_KEY, secret_key_previous=SECRET_KEY) as identity:
        assert await rewrap(identity, limit) == SecretsRewrapped(rewrapped=5, unreadable=0)
    async with platform.running(secret_key=NEXT_KEY) as identity:
        assert [await sign_in(identity, identity.totp(), name) for name in names] == ["ok"] * 5


async def test_a_secret_of_a_lost_key_stays(platform: Platform) -> None:
    """What neither key can read is counted and kept as it is: under its own key it opens still."""
    async with platform.running() as identity:
        await identity.create(totp_secret=TOTP_SECRET)
    async with platform.running(secret_key=NEXT_KEY) as identity:
        assert await rewrap(identity) == SecretsRewrapped(rewrapped=0, unreadable=1)
        assert await sign_in(identity, identity.totp()) == "internal"
    async with platform.running() as identity:
        assert await sign_in(identity, identity.totp()) == "ok"
