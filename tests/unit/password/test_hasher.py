"""Our own hashes and the verdict on stored ones."""

import unicodedata

import pytest

from services.password.domain.hasher import Hasher, Verdict
from shared.testing import SeededEntropy
from tests.unit.password.foreign_hashes import (
    COMPATIBILITY,
    COMPATIBILITY_AS_TYPED,
    COMPATIBILITY_IN_NFKC,
    HASHES,
    PASSWORD,
)

CURRENT = Verdict(matches=True, outdated=False)
OUTDATED = Verdict(matches=True, outdated=True)
NO = Verdict(matches=False, outdated=False)


def hasher(*, memory_kib: int = 64, time_cost: int = 1) -> Hasher:
    """A quick one; how strong it must be is a matter of the settings."""
    return Hasher(memory_kib=memory_kib, time_cost=time_cost, parallelism=1, entropy=SeededEntropy())


def test_hash_and_verify() -> None:
    """A password matches its own hash, and the hash is of today's strength."""
    quick = hasher()
    stored = quick.hash(PASSWORD)
    assert stored.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    assert quick.verify(stored, PASSWORD) == CURRENT
    assert quick.verify(stored, PASSWORD + " ") == NO


def test_fresh_salt() -> None:
    """Two users with the same password have different hashes."""
    quick = hasher()
    assert quick.hash(PASSWORD) != quick.hash(PASSWORD)


@pytest.mark.parametrize("spelling", ["NFC", "NFD", "NFKC", "NFKD"])
def test_every_spelling_of_the_keys(spelling: str) -> None:
    """The same password typed on another device, whose keyboard composes it otherwise, still matches."""
    quick = hasher()
    stored = quick.hash("ﬁancée Ⅷ naïve")
    typed = unicodedata.normalize(spelling, "ﬁancée Ⅷ naïve")  # type: ignore[arg-type]
    assert quick.verify(stored, typed) == CURRENT


def test_foreign_hash_of_what_was_typed() -> None:
    """A hash made elsewhere without normalization matches what was typed, and is then to be made again."""
    assert hasher().verify(COMPATIBILITY_AS_TYPED, COMPATIBILITY) == OUTDATED


def test_foreign_hash_of_the_normal_form() -> None:
    """A hash made elsewhere with normalization matches as well."""
    assert hasher().verify(COMPATIBILITY_IN_NFKC, COMPATIBILITY) == OUTDATED


@pytest.mark.parametrize("stored", HASHES.values(), ids=HASHES.keys())
def test_foreign_hashes_are_outdated(stored: str) -> None:
    """Every hash made elsewhere is replaced at the first sign-in."""
    assert hasher().verify(stored, PASSWORD) == OUTDATED


def test_raised_strength() -> None:
    """After the operator raises the strength, hashes of the old one still match and are replaced."""
    stored = hasher().hash(PASSWORD)
    assert hasher(memory_kib=128).verify(stored, PASSWORD) == OUTDATED
    assert hasher(time_cost=2).verify(stored, PASSWORD) == OUTDATED


def test_dummy() -> None:
    """The dummy has the form and cost of our hashes and matches nothing."""
    quick = hasher()
    assert len(quick.dummy) == len(quick.hash(""))
    assert quick.verify(quick.dummy, "") == NO
