"""Hashes brought from elsewhere: each is verified as its maker would, and none can hurt us."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.password.domain.foreign import UnsupportedHash, parse
from services.password.domain.hasher import Hasher
from shared.testing import SeededEntropy
from tests.unit.password.foreign_hashes import BEHIND_72_BYTES, HASHES, PASSWORD

every_hash = pytest.mark.parametrize("stored", HASHES.values(), ids=HASHES.keys())


@every_hash
def test_right_password(stored: str) -> None:
    """A user moved over from another system signs in with the password they had there."""
    assert parse(stored)(PASSWORD.encode())


@every_hash
def test_wrong_password(stored: str) -> None:
    """A password that differs in one letter is refused."""
    assert not parse(stored)((PASSWORD + "x").encode())


def test_phc_pbkdf2_with_named_parameters() -> None:
    """PBKDF2 written in the PHC string format, with i= and l=, is the same hash."""
    named = HASHES["passlib pbkdf2-sha256"].replace("$1000$", "$i=1000,l=32$").replace(".", "+")
    assert parse(named)(PASSWORD.encode())


def test_bcrypt_looks_at_72_bytes() -> None:
    """A long password hashed by a bcrypt that cut it off still signs in."""
    assert parse(BEHIND_72_BYTES)(b"n" * 72 + b"behind")


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "plain text",
        "5f4dcc3b5aa765d61d8327deb882cf99",
        "$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/",
        "$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHRzYWx0$" + "A" * 43,
        "$argon2id$v=19$m=131072,t=9,p=1$c2FsdHNhbHRzYWx0$" + "A" * 43,
        "$argon2id$v=19$m=8,t=1,p=2$c2FsdHNhbHRzYWx0$" + "A" * 43,
        "$argon2id$v=19$m=256,t=1,p=1$c2FsdHNhbHRzYWx0$AAAA",
        "$argon2id$v=19$m=256,t=1,p=1$c2FsdHNhbHRzYWx0$" + "A" * 42 + "B",
        "$2b$15$MiHOZUwXXoD8QCbiCOcNku/9cvfXxTXsxGAhqWK.7QPpXiHkquwze",
        "$2b$03$MiHOZUwXXoD8QCbiCOcNku/9cvfXxTXsxGAhqWK.7QPpXiHkquwze",
        "$2b$04$MiHOZUwXXoD8QCbiCOcNkz/9cvfXxTXsxGAhqWK.7QPpXiHkquwze",
        "$2b$04$MiHOZUwXXoD8QCbiCOcNku",
        "pbkdf2_sha256$2000001$salt$" + "A" * 43 + "=",
        "pbkdf2_sha256$0$salt$" + "A" * 43 + "=",
        "pbkdf2_md5$1000$salt$" + "A" * 22 + "==",
        "pbkdf2_sha256$1000$salt$AAAA",
        "pbkdf2_sha256$1000$salt$not base64",
        "$scrypt$ln=18,r=8,p=1$c2FsdA$" + "A" * 43,
        "$scrypt$ln=99,r=8,p=1$c2FsdA$" + "A" * 43,
        "$scrypt$ln=14,r=8,p=99$c2FsdA$" + "A" * 43,
        "scrypt:1000:8:1$salt$" + "00" * 32,
        "scrypt:1024:8:0$salt$" + "00" * 32,
        "$2b$04$MiHOZUwXXoD8QCbiCOcNku/9cvfXxTXsxGAhqWK.7QPpXiHkquwze\n",
        "pbkdf2_sha256$١٠٠٠$salt$" + "A" * 43 + "=",
    ],
)
def test_refused(stored: str) -> None:
    """A hash that is unknown, damaged, too short or too dear is refused before it costs anything."""
    with pytest.raises(UnsupportedHash):
        parse(stored)


def test_refusal_shows_no_hash() -> None:
    """What is told about a refused hash holds nothing of it."""
    with pytest.raises(UnsupportedHash) as caught:
        parse("$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHRzYWx0$secretdigest")
    assert "secretdigest" not in str(caught.value)


@given(st.text(max_size=300))
def test_any_text(stored: str) -> None:
    """Whatever is brought as a hash is either understood or refused."""
    with suppress(UnsupportedHash):
        parse(stored)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(sorted(HASHES.values())), st.integers(min_value=0, max_value=250), st.characters(codec="ascii"))
def test_damaged_hash(stored: str, position: int, character: str) -> None:
    """A damaged hash that is accepted can be verified: sign-in never crashes on it later."""
    position %= len(stored)
    damaged = stored[:position] + character + stored[position + 1 :]
    hasher = Hasher(memory_kib=64, time_cost=1, parallelism=1, entropy=SeededEntropy())
    with suppress(UnsupportedHash):
        assert not hasher.verify(damaged, "another password").matches
