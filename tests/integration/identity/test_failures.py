"""One limit on guessing for each account, over everything that can be guessed."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from pydantic import SecretStr

from shared import context
from shared.contracts.identity import ChangePassword, DisableTotp, ResetPassword, User
from shared.errors import Error, ErrorCode
from tests.integration.identity.conftest import (
    CODE,
    EMAIL,
    NEW_PASSWORD,
    PHONE,
    TOTP_SECRET,
    USERNAME,
    Identity,
    Platform,
    outcome,
)

ALLOWED = 10
REFUSED = "too_many_attempts"


async def fail(identity: Identity, times: int, identifier: str = EMAIL) -> list[str]:
    """Sign in with a wrong password so many times."""
    return [await outcome(identity.authenticate(identifier, "wrong")) for _ in range(times)]


async def wait_of(asked: Awaitable[object]) -> float | None:
    """How long one is told to wait, None without having to."""
    try:
        await asked
    except Error as error:
        return error.retry_after if error.code == ErrorCode.TOO_MANY_ATTEMPTS else None
    return None


def compared(identity: Identity, user: User | None) -> int:
    """How many passwords were compared with this user's."""
    wanted = user.id if user is not None else None
    return sum(call.user_id == wanted for call in identity.platform.password.asked)


@pytest.mark.parametrize("attempts", [50])
async def test_guesses_at_once(identity: Identity, attempts: int) -> None:
    """Of any number of wrong passwords at the same moment no more are compared than one after the other (row 13)."""
    user = await identity.create()
    together = asyncio.Event()

    async def wait_for_others() -> None:
        if compared(identity, user) == ALLOWED:
            together.set()
        await asyncio.wait_for(together.wait(), 10)

    identity.platform.password.verifying = wait_for_others
    names = [EMAIL, PHONE, USERNAME]
    outcomes = await asyncio.gather(
        *(outcome(identity.authenticate(names[n % 3], f"wrong {n}")) for n in range(attempts))
    )
    assert sorted(outcomes) == [REFUSED] * (attempts - ALLOWED) + ["wrong_password"] * ALLOWED
    assert compared(identity, user) == ALLOWED


async def test_sign_ins_that_nobody_judged_in_their_time(identity: Identity) -> None:
    """Passwords that `password` did not compare in the little time that there was are no failures."""
    await identity.create()
    answering = asyncio.Event()

    async def answer_late() -> None:
        while not answering.is_set():
            with suppress(asyncio.CancelledError):
                await answering.wait()

    identity.platform.password.verifying = answer_late
    with context.request("r", 0.3):
        outcomes = await asyncio.gather(*(outcome(identity.authenticate(EMAIL)) for _ in range(ALLOWED)))
    answering.set()
    assert outcomes == ["deadline_exceeded"] * ALLOWED
    assert await fail(identity, ALLOWED) == ["wrong_password"] * ALLOWED
    assert await fail(identity, 1) == [REFUSED]


async def test_devices_at_once(identity: Identity) -> None:
    """Many devices of one account that sign in at the same moment with the right password all get in."""
    user = await identity.create()
    under_way = asyncio.Event()

    async def wait_for_others() -> None:
        if compared(identity, user) == ALLOWED:
            under_way.set()
        await asyncio.wait_for(under_way.wait(), 10)

    identity.platform.password.verifying = wait_for_others
    outcomes = await asyncio.gather(*(outcome(identity.authenticate(EMAIL)) for _ in range(15)))
    assert set(outcomes) == {"ok"}


async def test_delay_begins_and_ends(identity: Identity) -> None:
    """After so many failures the right password has to wait too, as long as it is told, and then gets in."""
    await identity.create()
    assert await fail(identity, ALLOWED) == ["wrong_password"] * ALLOWED
    assert await wait_of(identity.authenticate(EMAIL)) == 1.0
    identity.platform.clock.advance(0.999)
    assert await outcome(identity.authenticate(EMAIL)) == REFUSED
    identity.platform.clock.advance(0.001)
    assert await outcome(identity.authenticate(EMAIL)) == "ok"
    assert await fail(identity, ALLOWED) == ["wrong_password"] * ALLOWED


async def test_delays_double_and_are_never_for_ever(identity: Identity) -> None:
    """Each failure doubles the delay up to a quarter of an hour; asking during one does not prolong it (row 21)."""
    user = await identity.create()
    await fail(identity, ALLOWED)
    waits = []
    for _ in range(13):
        wait = await wait_of(identity.authenticate(EMAIL, "wrong"))
        assert wait is not None
        identity.platform.clock.advance(wait / 2)
        assert await wait_of(identity.authenticate(EMAIL, "wrong")) == wait / 2
        identity.platform.clock.advance(wait / 2)
        assert await fail(identity, 1) == ["wrong_password"]
        waits.append(wait)
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]
    assert compared(identity, user) == ALLOWED + len(waits)
    identity.platform.clock.advance(900)
    assert await outcome(identity.authenticate(EMAIL)) == "ok"


@pytest.mark.parametrize(("quiet", "expected"), [(3599, REFUSED), (3600, "wrong_password")])
async def test_forgotten_in_time(identity: Identity, quiet: int, expected: str) -> None:
    """Failures are forgotten after an hour without any, not before."""
    await identity.create()
    await fail(identity, ALLOWED - 1)
    identity.platform.clock.advance(quiet)
    assert (await fail(identity, 2))[1] == expected


async def test_right_password_forgets(identity: Identity) -> None:
    """Who gets in begins anew."""
    await identity.create()
    for _ in range(3):
        assert await fail(identity, ALLOWED - 1) == ["wrong_password"] * (ALLOWED - 1)
        assert await outcome(identity.authenticate(USERNAME)) == "ok"


async def test_shared_by_names(identity: Identity) -> None:
    """All names of a user are one account, and another user is another."""
    await identity.create()
    await identity.create(email="other@example.com")
    for n in range(ALLOWED):
        await fail(identity, 1, (EMAIL, PHONE, USERNAME)[n % 3])
    for name in (EMAIL, PHONE, USERNAME):
        assert await outcome(identity.authenticate(name)) == REFUSED
    assert await outcome(identity.authenticate("other@example.com")) == "ok"


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("nobody@example.com", "NOBODY@Example.com"),
        ("nobody", "NoBody"),
        ("+4915100000000", "0151 00000000"),
        ("@", " @ "),
    ],
)
async def test_strangers_are_counted_alike(identity: Identity, name: str, same: str) -> None:
    """For somebody who does not exist delays begin, grow and end as for a user, in any spelling of the name."""
    await identity.create()
    for known, stranger in ((EMAIL, name), (EMAIL, same)):
        waits = []
        for identifier in (known, stranger):
            await fail(identity, ALLOWED, identifier)
            waits.append(await wait_of(identity.authenticate(identifier, "wrong")))
        assert waits[0] == waits[1] is not None
        identity.platform.clock.advance(5000)
    await fail(identity, ALLOWED, name)
    assert await outcome(identity.authenticate(same, "wrong")) == REFUSED


async def test_texts_that_name_nobody(identity: Identity) -> None:
    """What cannot even be a name holds up nobody but those who type the same."""
    assert await fail(identity, ALLOWED + 1, "not a name") == ["no_such_user"] * ALLOWED + [REFUSED]
    assert await fail(identity, 1, "not another name") == ["no_such_user"]


async def test_enabling_counts(identity: Identity) -> None:
    """Guesses at the code of a secret that is to be enabled count for the account like all others."""
    user = await identity.create()
    secret = await identity.totp_secret(user)
    for _ in range(ALLOWED):
        assert await outcome(identity.enable_totp(user, secret, "000000")) == "wrong_code"
    assert await outcome(identity.enable_totp(user, secret, identity.totp(secret))) == REFUSED
    assert await outcome(identity.authenticate(EMAIL)) == REFUSED


@pytest.mark.parametrize("secret", ["wrong", "000000"])
async def test_refused_at_the_same_price(identity: Identity, secret: str) -> None:
    """During a delay the same steps are taken as for a wrong secret, but for nobody."""
    await identity.create()
    await fail(identity, ALLOWED)
    asked, checked = identity.platform.password.asked, identity.platform.otp.checked
    asked.clear()
    assert await outcome(identity.authenticate(EMAIL, secret)) == REFUSED
    assert [call.user_id for call in asked] == [None]
    assert [call.account.startswith("nobody:") for call in checked] == ([True] if secret.isdigit() else [])


async def _wrong_sign_in_code(identity: Identity, _user: User) -> None:
    await identity.authenticate(EMAIL, "000000")


async def _wrong_inline_totp(identity: Identity, _user: User) -> None:
    await identity.authenticate(EMAIL, second_factor="inline", code="000000")


async def _wrong_challenge_answer(identity: Identity, _user: User) -> None:
    await identity.answer("second_factor", await identity.challenged(), "000000")


async def _wrong_recovery_code(identity: Identity, _user: User) -> None:
    await identity.answer("second_factor", await identity.challenged(), "AAAA-AAAA-AAAA")


async def _wrong_code_to_disable(identity: Identity, user: User) -> None:
    await identity.callers["gateway"].call(DisableTotp(user_id=user.id, code=SecretStr("000000")))


async def _wrong_old_password(identity: Identity, user: User) -> None:
    call = ChangePassword(user_id=user.id, password=SecretStr("wrong"), new_password=SecretStr(NEW_PASSWORD))
    await identity.callers["gateway"].call(call)


async def _wrong_reset_code(identity: Identity, _user: User) -> None:
    call = ResetPassword(identifier=USERNAME, proof=SecretStr("000000"), new_password=SecretStr(NEW_PASSWORD))
    await identity.callers["gateway"].call(call)


GUESSES: list[Callable[[Identity, User], Awaitable[None]]] = [
    _wrong_sign_in_code,
    _wrong_inline_totp,
    _wrong_challenge_answer,
    _wrong_recovery_code,
    _wrong_code_to_disable,
    _wrong_old_password,
    _wrong_reset_code,
]


@pytest.mark.parametrize("guess", GUESSES, ids=lambda guess: guess.__name__.strip("_"))
async def test_shared_by_everything(identity: Identity, guess: Callable[[Identity, User], Awaitable[None]]) -> None:
    """Whatever is guessed at, it counts for the account, and the account's delay holds for whatever is guessed at."""
    user = await identity.create(totp_secret=TOTP_SECRET)
    for _ in range(ALLOWED):
        assert await outcome(guess(identity, user)) in {"wrong_password", "wrong_code"}
    assert await outcome(identity.authenticate(EMAIL)) == REFUSED
    for other in GUESSES:
        assert await outcome(other(identity, user)) == REFUSED


async def test_right_code_has_to_wait(identity: Identity) -> None:
    """During a delay no code is compared, not even the right one, and the challenge does not suffer from it."""
    await identity.create(totp_secret=TOTP_SECRET)
    token = await identity.challenged()
    await fail(identity, ALLOWED)
    for _ in range(5):
        assert await outcome(identity.answer("second_factor", token, identity.totp())) == REFUSED
    identity.platform.clock.advance(1)
    assert await outcome(identity.answer("second_factor", token, identity.totp())) == "ok"
    assert await outcome(identity.authenticate(EMAIL, "wrong")) == "wrong_password"


@pytest.mark.parametrize("second_factor", ["refuse", "inline", "challenge"])
async def test_right_password_without_the_second_factor(identity: Identity, second_factor: str) -> None:
    """Knowing the password neither counts as a failure nor forgets any, until the second factor is proved."""
    await identity.create(totp_secret=TOTP_SECRET)
    await fail(identity, ALLOWED - 1)
    more: dict[str, Any] = {"second_factor": second_factor}
    for _ in range(3):
        assert await outcome(identity.authenticate(EMAIL, **more)) in {"second_factor_required", "ok"}
    assert await fail(identity, 2) == ["wrong_password", REFUSED]
    identity.platform.clock.advance(1)
    assert await outcome(identity.authenticate(EMAIL, second_factor="inline", code=identity.totp())) == "ok"
    assert await fail(identity, 2) == ["wrong_password"] * 2


async def test_right_password_of_a_suspended_user(identity: Identity) -> None:
    """A suspended user's right password counts like a wrong one, so that nobody learns by it that it is right."""
    await identity.create()
    await identity.suspend(EMAIL)
    outcomes = [await outcome(identity.authenticate(EMAIL)) for _ in range(ALLOWED + 1)]
    assert outcomes == ["user_suspended"] * ALLOWED + [REFUSED]


async def test_undecided_is_no_failure(platform: Platform) -> None:
    """Attempts that nobody could decide, since a service was away, lock nobody out."""
    async with platform.running() as identity:
        await identity.create()
    async with platform.running(with_password=False) as identity:
        assert [await outcome(identity.authenticate(EMAIL)) for _ in range(15)] == ["unavailable"] * 15
    async with platform.running() as identity:
        assert await outcome(identity.authenticate(EMAIL)) == "ok"


async def test_counted_by_all_replicas(platform: Platform) -> None:
    """Replicas count together."""
    async with platform.running() as identity, platform.running(with_password=False, with_otp=False):
        user = await identity.create()
        outcomes = await fail(identity, ALLOWED + 4)
        assert outcomes == ["wrong_password"] * ALLOWED + [REFUSED] * 4
        assert compared(identity, user) == ALLOWED


async def test_limit_is_a_setting(platform: Platform) -> None:
    """Operators choose how many failures begin a delay, and the longest one."""
    async with platform.running(failures_allowed="3", longest_delay_seconds="2") as identity:
        await identity.create()
        await fail(identity, 2)
        waits = []
        for _ in range(3):
            await fail(identity, 1)
            waits.append(await wait_of(identity.authenticate(EMAIL)))
            identity.platform.clock.advance(2)
        assert waits == [1, 2, 2]


async def test_code_that_makes_a_user(identity: Identity) -> None:
    """The failures of an address that nobody had do not follow the user who comes to have it."""
    await identity.send_code(email="new@example.com")
    await fail(identity, ALLOWED - 1, "new@example.com")
    assert (await identity.authenticate("new@example.com", CODE)).methods == ["otp"]
    assert await fail(identity, ALLOWED, "new@example.com") == ["wrong_password"] * ALLOWED


async def test_metrics(identity: Identity) -> None:
    """Operators see how many attempts are delayed."""
    await identity.create()
    await fail(identity, ALLOWED + 3)
    read = identity.kit.telemetry.registry.get_sample_value
    assert read("dragoman_identity_attempts_total", {"outcome": "admitted", "source": "unknown"}) == ALLOWED
    assert read("dragoman_identity_attempts_total", {"outcome": "delayed", "source": "unknown"}) == 3
