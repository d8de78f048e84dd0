"""Recovery codes: readable, guessed by nobody, and kept as digests."""

import re
from uuid import UUID

import pytest

from services.identity.domain.recovery_codes import COUNT, RecoveryCodes

SOMEBODY, OTHER = UUID(int=1), UUID(int=2)
SECRET = b"a secret of an authenticator"


@pytest.fixture
def recovery() -> RecoveryCodes:
    """Codes under a key."""
    return RecoveryCodes(bytes(range(32)))


def test_codes(recovery: RecoveryCodes) -> None:
    """Ten different codes of 60 bits in three groups, the same for the same secret and user."""
    codes = recovery.codes(SOMEBODY, SECRET)
    assert len(set(codes)) == COUNT == 10
    assert all(re.fullmatch(r"[A-Z2-7]{4}(-[A-Z2-7]{4}){2}", code) for code in codes)
    assert recovery.codes(SOMEBODY, SECRET) == codes


def test_codes_belong_to_one_user_one_secret_and_one_key(recovery: RecoveryCodes) -> None:
    """Another user, secret or key has none of these codes."""
    codes = set(recovery.codes(SOMEBODY, SECRET))
    assert not codes & set(recovery.codes(OTHER, SECRET))
    assert not codes & set(recovery.codes(SOMEBODY, SECRET + b"!"))
    assert not codes & set(RecoveryCodes(bytes(32)).codes(SOMEBODY, SECRET))


@pytest.mark.parametrize("typed", ["ABCD-EFOI-B234", "abcdefoib234", " abcd efoi b234 ", "ABCD-EF01-8234"])
def test_typed_in_any_way(recovery: RecoveryCodes, typed: str) -> None:
    """Case, spacing and digits that look like letters make no difference."""
    (digest,) = recovery.digests(SOMEBODY, typed)
    assert [digest] == recovery.digests(SOMEBODY, "ABCD-EFOI-B234")


@pytest.mark.parametrize("typed", ["", "123456", "ABCD-EFOI-B23", "ABCD-EFOI-B2345", "ABCD-EFOI-B23ß", "A" * 100_000])
def test_what_is_no_code(recovery: RecoveryCodes, typed: str) -> None:
    """What has not the form of a code has no digest."""
    assert recovery.digests(SOMEBODY, typed) == []


def test_digests_tell_nothing(recovery: RecoveryCodes) -> None:
    """A digest is another one for each user, so that equal codes do not show, and under each key."""
    code = recovery.codes(SOMEBODY, SECRET)[0]
    digests = {
        *recovery.digests(SOMEBODY, code),
        *recovery.digests(OTHER, code),
        *RecoveryCodes(bytes(32)).digests(SOMEBODY, code),
    }
    assert len(digests) == 3


def test_what_is_kept_of_all_codes(recovery: RecoveryCodes) -> None:
    """What is kept of the codes of a secret is what each of them is compared with when it is typed."""
    typed = [recovery.digests(SOMEBODY, code) for code in recovery.codes(SOMEBODY, SECRET)]
    assert [[digest] for digest in recovery.kept(SOMEBODY, SECRET)] == typed


def test_codes_of_the_key_before(recovery: RecoveryCodes) -> None:
    """After a change of key a code of the one before is known by both digests, and the new one is to take its place."""
    after = RecoveryCodes(bytes(32), bytes(range(32)))
    rekeyed = after.rekeyed(SOMEBODY, SECRET)
    for code, old in zip(recovery.codes(SOMEBODY, SECRET), recovery.kept(SOMEBODY, SECRET), strict=True):
        assert after.digests(SOMEBODY, code) == [rekeyed[old], old]
        assert RecoveryCodes(bytes(32)).digests(SOMEBODY, code) == [rekeyed[old]]
    assert set(rekeyed.values()) < set(after.kept(SOMEBODY, SECRET))
    assert len(rekeyed) == COUNT
    assert recovery.rekeyed(SOMEBODY, SECRET) == {}
