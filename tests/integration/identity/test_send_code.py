"""Asking for a code: the answer and the work behind it are the same for everybody."""

import pytest

from shared.contracts.identity import CodeSent
from shared.contracts.otp import IssueCode
from shared.errors import Error, ErrorCode
from tests.integration.identity.conftest import EMAIL, PHONE, Identity, Platform, outcome

SUSPENDED, MUST_CHANGE, NOBODY = "suspended@example.com", "new@example.com", "nobody@example.com"


async def test_answer_repeats_the_address(identity: Identity) -> None:
    """The answer is the requested address in its canonical form, never another address of the user."""
    await identity.create()
    assert await identity.send_code(email="SomeOne@EXAMPLE.com") == CodeSent(email=EMAIL)
    assert await identity.send_code(phone="0151 12345678") == CodeSent(phone=PHONE)
    issued = identity.platform.otp.issued
    assert [(call.channel, call.address) for call in issued] == [("email", EMAIL), ("sms", PHONE)]
    assert issued[0].account == issued[1].account


@pytest.mark.parametrize(("allowed", "welcome"), [("yes", [EMAIL, NOBODY]), ("no", [EMAIL])])
async def test_same_work_for_everybody(platform: Platform, allowed: str, welcome: list[str]) -> None:
    """For a user, a suspended one, one who must change the password and nobody the work is the same but the sending."""
    async with platform.running(allow_new_users=allowed) as identity:
        for email in (EMAIL, SUSPENDED):
            await identity.create(email=email)
        await identity.create(email=MUST_CHANGE, must_change_password=True)
        await identity.suspend(SUSPENDED)
        for email in (EMAIL, SUSPENDED, MUST_CHANGE, NOBODY):
            assert await identity.send_code(email=email) == CodeSent(email=email)
        issued = platform.otp.issued
        assert [call.address for call in issued] == [EMAIL, SUSPENDED, MUST_CHANGE, NOBODY]
        assert [call.address for call in issued if call.deliver] == welcome
        assert len({(call.purpose, call.channel) for call in issued}) == 1
        # Nobody's code is ever looked for under these accounts.
        assert all(call.account.startswith("nobody:") != call.deliver for call in issued)


@pytest.mark.parametrize(("address", "field"), [({"email": "nobody"}, "email"), ({"phone": "12"}, "phone")])
async def test_address_that_cannot_be_one(identity: Identity, address: dict[str, str], field: str) -> None:
    """An address that cannot be one is refused by the name of its field, and nothing is sent."""
    with pytest.raises(Error) as caught:
        await identity.send_code(**address)
    assert (caught.value.code, caught.value.detail) == (ErrorCode.INVALID_REQUEST, {"field": field})
    assert identity.platform.otp.issued == []


@pytest.mark.parametrize(("allowed", "deliver"), [("yes", True), ("no", False)])
async def test_number_that_no_messages_are_sent_to(platform: Platform, allowed: str, deliver: bool) -> None:
    """What the code service refuses about an address is told under the name that the asker used, to strangers too."""

    async def refuse(call: IssueCode) -> None:
        assert call.deliver == deliver
        raise Error(ErrorCode.INVALID_REQUEST, "not sent to", detail={"field": "address", "reason": "prefix"})

    platform.otp.before_issue = refuse
    async with platform.running(allow_new_users=allowed) as identity:
        with pytest.raises(Error) as caught:
            await identity.send_code(phone=PHONE)
    assert caught.value.code == ErrorCode.INVALID_REQUEST
    assert caught.value.detail == {"field": "phone", "reason": "prefix"}


async def test_no_message_for_now(platform: Platform) -> None:
    """When the code service may send no more messages, the asker learns for how long."""

    async def refuse(_call: IssueCode) -> None:
        raise Error(ErrorCode.OVERLOADED, "no more messages for now", retry_after=1234.0)

    platform.otp.before_issue = refuse
    async with platform.running() as identity:
        with pytest.raises(Error) as caught:
            await identity.send_code(phone=PHONE)
    assert (caught.value.code, caught.value.retry_after) == (ErrorCode.OVERLOADED, 1234.0)


async def test_default_region(platform: Platform) -> None:
    """A number without a country is one of the country that the operator set."""
    async with platform.running(default_region="nz") as identity:
        assert await identity.send_code(phone="021 123 4567") == CodeSent(phone="+64211234567")


async def test_repeat(identity: Identity) -> None:
    """Asking twice is no failure; whether a second message goes out is decided by the code service."""
    await identity.create()
    assert [await outcome(identity.send_code(email=EMAIL)) for _ in range(2)] == ["ok", "ok"]
    assert len({call.account for call in identity.platform.otp.issued}) == 1
