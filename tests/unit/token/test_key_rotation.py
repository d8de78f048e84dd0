"""When a key signs: the rules alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.token.domain import key_rotation
from services.token.domain.key_rotation import Keys, StoredKey
from shared.contracts.token import SigningAlgorithm
from shared.errors import Error

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LIFE = timedelta(hours=1)


def key(kid: str, algorithm: SigningAlgorithm = "ES256") -> StoredKey:
    """A key that was made and not published."""
    return StoredKey(kid, algorithm, "next", "{}", b"", "", NOW)


def states(keys: Keys) -> dict[str, str]:
    """What each key does; a standby is called that."""
    return {k.kid: "standby" if k.state == "next" and k.activates_at is None else k.state for k in keys}


def fresh() -> Keys:
    """A platform that has just begun."""
    return key_rotation.completed(key_rotation.completed((), NOW, key("a")), NOW, key("b"))


def test_beginning() -> None:
    """The first key signs at once, since nobody waits for it; the second is published ahead."""
    assert states(fresh()) == {"a": "active", "b": "standby"}


def test_standby_of_long_ago() -> None:
    """A standby that has been published long enough signs as soon as it is called, and another is published."""
    later = NOW + MINUTE
    keys = key_rotation.rotated(fresh(), later, key("c"), MINUTE)
    keys = key_rotation.settled(keys, later, LIFE)
    assert states(keys) == {"a": "retired", "b": "active", "c": "standby"}
    assert key_rotation.named(keys, "c").created_at == later


def test_quick_rotations() -> None:
    """However quickly rotations follow each other, each key signs only after its minute, and each gets its turn."""
    keys = fresh()
    for n in range(30):
        keys = key_rotation.rotated(keys, NOW + timedelta(seconds=2 * n + 2), key(f"key {n}"), MINUTE)
    seen = []
    for second in range(0, 119, 2):
        now = NOW + timedelta(seconds=second)
        keys = key_rotation.settled(keys, now, LIFE)
        signing = key_rotation.active(keys)
        assert signing is not None
        assert signing.kid in {"a", "b"} or now - signing.created_at == MINUTE
        seen.append(signing.kid)
    assert list(dict.fromkeys(seen)) == ["a", "b", *(f"key {n}" for n in range(29))]
    assert states(keys)["key 29"] == "standby"


def test_after_a_pause() -> None:
    """When nobody looked while several turns came, the last of them signs, and the others are retired."""
    keys = fresh()
    for kid in "cde":
        keys = key_rotation.rotated(keys, NOW, key(kid), MINUTE)
    keys = key_rotation.settled(keys, NOW + 2 * MINUTE, LIFE)
    retired = sorted(kid for kid, state in states(keys).items() if state == "retired")
    assert (sorted(states(keys).values()).count("active"), len(retired)) == (1, 3)


def test_another_algorithm() -> None:
    """A key of another algorithm has its minute too; what waited with the old algorithm is dropped."""
    keys = key_rotation.rotated(fresh(), NOW + MINUTE, key("rsa", "RS256"), MINUTE)
    assert states(key_rotation.settled(keys, NOW + MINUTE, LIFE)) == {"a": "active", "rsa": "next"}
    assert key_rotation.newest_algorithm(keys) == "RS256"
    keys = key_rotation.settled(keys, NOW + 2 * MINUTE, LIFE)
    assert states(keys) == {"a": "retired", "rsa": "active"}


def test_at_once() -> None:
    """In an emergency the next key that has been published longest signs now."""
    keys = key_rotation.rotated(fresh(), NOW, key("c"), MINUTE)
    keys = key_rotation.rotated(keys, NOW, key("d"), MINUTE, at_once=True)
    assert states(key_rotation.settled(keys, NOW, LIFE)) == {"a": "retired", "b": "active", "c": "standby"}


def test_kept_until_the_last_token_is_dead() -> None:
    """A retired key goes when the longest life of a token has passed, not a moment earlier."""
    keys = key_rotation.retired(fresh(), NOW, "a", key("c"))
    assert states(key_rotation.settled(keys, NOW + LIFE - timedelta(microseconds=1), LIFE))["a"] == "retired"
    assert "a" not in states(key_rotation.settled(keys, NOW + LIFE, LIFE))


def test_end_of_a_key() -> None:
    """Whichever key is retired or removed, one signs and one waits afterwards; retiring twice changes nothing."""
    only = (replace(fresh()[0]),)
    for keys in (fresh(), only):
        for kid in states(keys):
            for end in (key_rotation.retired, key_rotation.removed):
                ended = end(keys, NOW, kid, key("c"))
                whole = key_rotation.completed(ended, NOW, key("d"))
                assert sorted(s for s in states(whole).values() if s != "retired") == ["active", "standby"]
                assert states(whole).get(kid) == ("retired" if end is key_rotation.retired else None)
    ended = key_rotation.retired(fresh(), NOW, "a", key("c"))
    assert key_rotation.retired(ended, NOW + MINUTE, "a", key("d")) == ended


def test_unknown() -> None:
    """A key that there is not cannot be retired or removed."""
    for end in (key_rotation.retired, key_rotation.removed):
        with pytest.raises(Error, match="no such signing key"):
            end(fresh(), NOW, "z", key("c"))
