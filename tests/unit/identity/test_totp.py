"""Codes of authenticator apps: which count and when, and how their secrets are kept."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from services.identity.domain import totp
from services.identity.domain.totp import NewSecrets, SecretBox
from shared.errors import Error, ErrorCode
from shared.testing import SeededEntropy

RFC_SECRET = b"12345678901234567890"
SECRET_KEY = bytes(range(32))
SOMEBODY, OTHER = UUID(int=1), UUID(int=2)


def at(seconds: float) -> datetime:
    """So many seconds after 1970 began."""
    return datetime.fromtimestamp(seconds, UTC)


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_vectors_of_the_standard(seconds: int, code: str) -> None:
    """The codes of RFC 6238, appendix B, count in their own step."""
    assert totp.matching_step(RFC_SECRET, code, at(seconds)) == seconds // 30


@pytest.mark.parametrize(("late", "counts"), [(-31, False), (-30, True), (0, True), (59, True), (60, False)])
def test_clocks_may_differ_by_one_step(late: int, counts: bool) -> None:
    """A code counts from one step before its own until one step behind it, and always as its own step."""
    step = totp.matching_step(RFC_SECRET, "005924", at(1234567890 + late))
    assert step == (1234567890 // 30 if counts else None)


def test_first_steps_of_time() -> None:
    """There is no step before the first one, and asking for it harms nothing."""
    assert totp.matching_step(RFC_SECRET, "755224", at(0)) == 0
    assert totp.matching_step(RFC_SECRET, "000000", at(0)) is None


@pytest.mark.parametrize("text", ["28708", "2870822", "28708a", "２８７０８２", "", "287 082", "28708\n"])
def test_form_of_a_code(text: str) -> None:
    """Six plain digits are a code and nothing else is."""
    assert totp.is_code("287082")
    assert not totp.is_code(text)


@pytest.mark.parametrize(
    "typed", ["JBSWY3DPEHPK3PXP", "jbsw y3dp ehpk 3pxp", "JBSW-Y3DP-EHPK-3PXP", " JBSWY3DPEHPK3PXP\n"]
)
def test_secret_brought_along(typed: str) -> None:
    """A secret is read however it is spaced, from 80 bits on."""
    assert totp.encode_secret(totp.decode_secret(typed)) == "JBSWY3DPEHPK3PXP"


@pytest.mark.parametrize("typed", ["", "JBSWY3DPEHPK3PX", "JBSWY3DPEHPK3PX1", "A" * 112, "ſ" * 16, "é" * 16, "=" * 16])
def test_secret_that_is_none(typed: str) -> None:
    """What is too short, too long or no base32 is refused by the name of the field."""
    with pytest.raises(Error) as caught:
        totp.decode_secret(typed)
    assert (caught.value.code, caught.value.detail) == (ErrorCode.INVALID_REQUEST, {"field": "secret"})


def test_new_secret() -> None:
    """A secret of ours has 160 bits, of which none repeats in the next, and is read as it was written."""
    secrets = NewSecrets(SECRET_KEY, SeededEntropy())
    first, second = secrets.make(SOMEBODY, at(0)), secrets.make(SOMEBODY, at(0))
    assert len(first) == 20
    assert first[:10] != second[:10]
    assert first[10:] != second[10:]
    assert totp.decode_secret(totp.encode_secret(first)) == first


@pytest.mark.parametrize(
    ("hours", "ours"), [(-1.1, False), (-1, True), (0, True), (1, True), (1.9, True), (2, False), (1000, False)]
)
def test_new_secret_in_its_time(hours: float, ours: bool) -> None:
    """A secret that begins an hour is ours to the end of the next one, and to a clock that is behind."""
    secrets = NewSecrets(SECRET_KEY, SeededEntropy())
    begun = 3600 * 480_000
    secret = secrets.make(SOMEBODY, at(begun))
    assert secrets.is_ours(SOMEBODY, secret, at(begun + 3600 * hours)) is ours


def test_new_secret_of_somebody() -> None:
    """It is ours for the one user, under the key that made it, or where that is known as the one before."""
    secret = NewSecrets(SECRET_KEY, SeededEntropy()).make(SOMEBODY, at(0))
    for key, previous, ours in ((SECRET_KEY, b"", True), (bytes(32), SECRET_KEY, True), (bytes(32), b"", False)):
        secrets = NewSecrets(key, SeededEntropy(), previous)
        assert secrets.is_ours(SOMEBODY, secret, at(0)) is ours
        assert not secrets.is_ours(OTHER, secret, at(0))
    anew = NewSecrets(bytes(32), SeededEntropy(), SECRET_KEY).make(SOMEBODY, at(0))
    assert NewSecrets(bytes(32), SeededEntropy()).is_ours(SOMEBODY, anew, at(0))


def test_any_other_secret_is_not_ours() -> None:
    """A secret that is changed in one bit, cut, continued or made elsewhere is refused."""
    secrets = NewSecrets(SECRET_KEY, SeededEntropy())
    secret = secrets.make(SOMEBODY, at(0))
    changed = [(int.from_bytes(secret) ^ 1 << bit).to_bytes(20) for bit in range(160)]
    for other in (*changed, secret[:10], secret[:-1], secret + b"\0", RFC_SECRET, b""):
        assert not secrets.is_ours(SOMEBODY, other, at(0))


def test_otpauth_url() -> None:
    """What an app scans names issuer, account and secret, with spaces as apps read them."""
    url = totp.otpauth_url(totp.decode_secret("JBSWY3DPEHPK3PXP"), "My House", "ada+x@example.com")
    assert url.startswith("otpauth://totp/My%20House:ada%2Bx%40example.com?")
    assert set(url.partition("?")[2].split("&")) >= {"secret=JBSWY3DPEHPK3PXP", "issuer=My%20House", "period=30"}


def test_wrapped_secret() -> None:
    """A secret at rest is unreadable, different each time, and opens for its user under its key alone."""
    box = SecretBox(SECRET_KEY, SeededEntropy())
    wrapped = box.wrap(SOMEBODY, RFC_SECRET)
    assert RFC_SECRET not in wrapped
    assert wrapped != box.wrap(SOMEBODY, RFC_SECRET)
    assert box.unwrap(SOMEBODY, wrapped) == RFC_SECRET
    other_key = SecretBox(bytes(32), SeededEntropy())
    for opener, user_id, stored in (
        (box, OTHER, wrapped),
        (other_key, SOMEBODY, wrapped),
        (box, SOMEBODY, wrapped[:-1]),
        (box, SOMEBODY, b""),
    ):
        with pytest.raises(Error) as caught:
            opener.unwrap(user_id, stored)
        assert caught.value.code == ErrorCode.INTERNAL
        assert "DRAGOMAN_IDENTITY_SECRET_KEY" in caught.value.message


def test_secret_wrapped_under_the_key_before() -> None:
    """It can be read while that key is known as the one before, and what is wrapped then needs the new one alone."""
    wrapped = SecretBox(SECRET_KEY, SeededEntropy()).wrap(SOMEBODY, RFC_SECRET)
    box = SecretBox(bytes(32), SeededEntropy(), SECRET_KEY)
    assert box.unwrap(SOMEBODY, wrapped) == RFC_SECRET
    anew = box.wrap(SOMEBODY, RFC_SECRET)
    assert [box.is_current(SOMEBODY, stored) for stored in (wrapped, anew)] == [False, True]
    assert SecretBox(bytes(32), SeededEntropy()).unwrap(SOMEBODY, anew) == RFC_SECRET
    with pytest.raises(Error):
        box.unwrap(OTHER, wrapped)


def test_drift_is_the_only_freedom() -> None:
    """Of all codes around a moment only the three nearest count."""
    now = at(1234567890)
    shown = {
        offset: TOTP(RFC_SECRET, 6, SHA1(), 30).generate((now + timedelta(seconds=30 * offset)).timestamp())
        for offset in range(-5, 6)
    }
    counting = [offset for offset, code in shown.items() if totp.matching_step(RFC_SECRET, code.decode(), now)]
    assert counting == [-1, 0, 1]
