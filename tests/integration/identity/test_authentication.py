"""Who somebody is: by password, by code, and what a stranger can learn from being refused."""

from uuid import UUID

import pytest

from shared.contracts.otp import CheckCode
from shared.contracts.password import VerifyPassword
from shared.errors import Error, ErrorCode
from tests.integration.identity.conftest import CODE, EMAIL, PASSWORD, PHONE, USERNAME, Identity, Platform, outcome


@pytest.mark.parametrize("identifier", [EMAIL, "SOMEONE@Example.com ", PHONE, "0151/12345678", USERNAME, "SomeOne"])
async def test_by_each_identifier(identity: Identity, identifier: str) -> None:
    """Each of a user's names, in any spelling, with the password is that user."""
    user = await identity.create()
    recognised = await identity.authenticate(identifier)
    assert (recognised.user, recognised.methods, recognised.challenge) == (user, ["pwd"], None)


async def test_id_is_no_name_to_sign_in_with(identity: Identity) -> None:
    """The id of a user, which every token shows, is not a name to sign in with beside those that limits count."""
    user = await identity.create()
    assert await outcome(identity.authenticate(str(user.id))) == "no_such_user"


async def test_refused(identity: Identity) -> None:
    """A wrong password, an unknown user and a suspended one are told apart for the gateway, which merges them."""
    await identity.create()
    assert await outcome(identity.authenticate(EMAIL, "wrong")) == "wrong_password"
    assert await outcome(identity.authenticate("nobody@example.com")) == "no_such_user"
    await identity.suspend(EMAIL)
    assert await outcome(identity.authenticate(EMAIL)) == "user_suspended"
    assert await outcome(identity.authenticate(EMAIL, "wrong")) == "wrong_password"


async def test_must_change_password(identity: Identity) -> None:
    """Who must change the password is recognised and challenged; with a wrong password there is no challenge."""
    await identity.create(must_change_password=True)
    recognised = await identity.authenticate(EMAIL, new_password=True)
    assert recognised.challenge is not None
    assert recognised.challenge.kind == "new_password"
    assert await outcome(identity.authenticate(EMAIL, "wrong", new_password=True)) == "wrong_password"
    assert await outcome(identity.authenticate(EMAIL)) == "password_change_required"


@pytest.mark.parametrize("secret", ["wrong", "000000"])
async def test_strangers_cost_the_same(identity: Identity, secret: str) -> None:
    """A wrong secret leads to the same calls for a user, a suspended one, one who must change it and nobody at all."""
    user = await identity.create()
    suspended = await identity.create(email="suspended@example.com")
    must_change = await identity.create(email="new@example.com", must_change_password=True)
    await identity.suspend("suspended@example.com")
    asked, checked = identity.platform.password.asked, identity.platform.otp.checked
    seen = []
    for name in (EMAIL, "suspended@example.com", "new@example.com", "nobody@example.com", "nobody", "+4915100000000"):
        asked.clear()
        checked.clear()
        await outcome(identity.authenticate(name, secret))
        assert len(asked) == 1
        assert len(checked) == (1 if secret.isdigit() else 0)
        seen.append(asked[0].user_id)
    assert seen == [user.id, suspended.id, must_change.id, None, None, None]


async def test_by_code(identity: Identity) -> None:
    """A code that was sent is accepted once, under any of the user's names, and the password goes on working."""
    user = await identity.create()
    await identity.send_code(email=EMAIL)
    recognised = await identity.authenticate(PHONE, CODE)
    assert (recognised.user, recognised.methods) == (user, ["otp"])
    assert identity.platform.password.asked == []
    assert await outcome(identity.authenticate(PHONE, CODE)) == "wrong_password"
    assert await outcome(identity.authenticate(EMAIL)) == "ok"


async def test_code_is_not_another_users(identity: Identity) -> None:
    """A code that was sent to one user is worth nothing with another's name."""
    await identity.create()
    await identity.create(username="other")
    await identity.send_code(email=EMAIL)
    assert await outcome(identity.authenticate("other", CODE)) == "wrong_password"
    assert await outcome(identity.authenticate(EMAIL, CODE)) == "ok"


async def test_code_does_not_pass_a_challenge(identity: Identity) -> None:
    """Who must change the password gets no code, and is not let past the change."""
    await identity.create(must_change_password=True)
    await identity.send_code(email=EMAIL)
    assert await outcome(identity.authenticate(EMAIL, CODE)) == "wrong_password"


async def test_code_sent_before_the_suspension(identity: Identity) -> None:
    """A code that was sent before the user was suspended lets nobody in."""
    await identity.create()
    await identity.send_code(email=EMAIL)
    await identity.suspend(EMAIL)
    assert await outcome(identity.authenticate(EMAIL, CODE)) == "wrong_password"


@pytest.mark.parametrize(
    ("address", "name"), [({"email": "New@Example.com"}, "email"), ({"phone": "0151 99999999"}, "phone")]
)
async def test_first_code_makes_the_user(identity: Identity, address: dict[str, str], name: str) -> None:
    """An address that nobody has becomes an account when its code is used, not when it is sent."""
    sent = await identity.send_code(**address)
    assert await identity.told() == []
    assert await outcome(identity.authenticate(address[name], "000000")) == "no_such_user"
    recognised = await identity.authenticate(address[name], CODE)
    assert recognised.user.model_dump(include={"email", "phone"}) == sent.model_dump()
    assert recognised.methods == ["otp"]
    assert await identity.told() == ["identity.user_created.v1"]


async def test_new_users_not_allowed(platform: Platform) -> None:
    """A code does not make a user where that is not allowed, not even one that was sent while it was."""
    async with platform.running() as identity:
        await identity.send_code(email="new@example.com")
    async with platform.running(allow_new_users="no") as identity:
        assert await outcome(identity.authenticate("new@example.com", CODE)) == "no_such_user"
        assert await identity.told() == []


@pytest.mark.parametrize("secret", ["12345", "123456789", "12345a", "１２３４５６", "12 3456"])
async def test_secret_that_cannot_be_a_code(identity: Identity, secret: str) -> None:
    """Only six to eight plain digits are tried as a code; everything else is a password alone."""
    await identity.create(password=secret, enforce_policy=False)
    assert (await identity.authenticate(EMAIL, secret)).methods == ["pwd"]
    assert identity.platform.otp.checked == []


async def test_password_of_digits(identity: Identity) -> None:
    """A password that could be a code works as a password too."""
    await identity.create(password="13572468", enforce_policy=False)
    assert (await identity.authenticate(EMAIL, "13572468")).methods == ["pwd"]
    assert len(identity.platform.otp.checked) == 1


async def test_codes_switched_off(platform: Platform) -> None:
    """With codes switched off none is asked for or taken, and a password of digits still works."""
    async with platform.running(otp_enabled="no") as identity:
        await identity.create(password=CODE, enforce_policy=False)
        with pytest.raises(Error) as caught:
            await identity.send_code(email=EMAIL)
        assert caught.value.code == ErrorCode.FEATURE_DISABLED
        assert (await identity.authenticate(EMAIL, CODE)).methods == ["pwd"]
        assert (platform.otp.issued, platform.otp.checked) == ([], [])


async def test_otp_away(platform: Platform) -> None:
    """Without the code service passwords that cannot be codes still work; what may be a code is `unavailable`."""
    async with platform.running(with_otp=False) as identity:
        await identity.create()
        assert (await identity.authenticate(EMAIL, PASSWORD)).methods == ["pwd"]
        assert await outcome(identity.authenticate(EMAIL, CODE)) == "unavailable"
        assert await outcome(identity.authenticate("nobody@example.com", CODE)) == "unavailable"
        assert await outcome(identity.send_code(email=EMAIL)) == "unavailable"


async def test_password_service_away(platform: Platform) -> None:
    """Without the password service no password counts, for nobody either, while codes still do."""
    async with platform.running() as identity:
        await identity.create()
        await identity.send_code(email=EMAIL)
    async with platform.running(with_password=False) as identity:
        assert await outcome(identity.authenticate(EMAIL)) == "unavailable"
        assert await outcome(identity.authenticate("nobody@example.com")) == "unavailable"
        assert await outcome(identity.authenticate(EMAIL, CODE)) == "ok"


async def test_database_away(platform: Platform) -> None:
    """Without PostgreSQL nobody is recognised and readiness says so."""
    platform.settings["DRAGOMAN_POSTGRES_URL"] = "postgresql://u:p@127.0.0.1:1/x"
    async with platform.running() as identity:
        assert await outcome(identity.authenticate(EMAIL)) == "unavailable"
        assert await outcome(identity.send_code(email=EMAIL)) == "unavailable"
        assert "unavailable" in (await identity.kit.health.report())["postgres"]
    assert platform.password.asked == []


@pytest.mark.parametrize("identifier", ["", " ", "\0", "a\0@example.com", "x" * 100_000, "@", "' OR 1=1 --", "🙂"])
async def test_any_text_as_an_identifier(identity: Identity, identifier: str) -> None:
    """Whatever is typed as a name is nobody, at the price of one password check."""
    assert await outcome(identity.authenticate(identifier)) == "no_such_user"
    assert [call.user_id for call in identity.platform.password.asked] == [None]


def account_kinds(calls: list[CheckCode]) -> set[str]:
    """What the accounts of these calls are named after."""
    return {call.account.partition(":")[0] for call in calls}


async def test_accounts_of_codes(identity: Identity) -> None:
    """Attempts are counted by user, whichever name is used, and by address for those who are nobody."""
    user = await identity.create()
    for name in (EMAIL, PHONE, USERNAME):
        await outcome(identity.authenticate(name, "000000"))
    assert {call.account for call in identity.platform.otp.checked} == {f"user:{user.id}"}
    identity.platform.otp.checked.clear()
    await outcome(identity.authenticate("nobody@example.com", "000000"))
    assert account_kinds(identity.platform.otp.checked) == {"email"}
    unknown = VerifyPassword(user_id=None, password=identity.platform.password.asked[0].password)
    assert identity.platform.password.asked[-1] == unknown
    assert isinstance(user.id, UUID)
