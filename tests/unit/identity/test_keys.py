"""One key for each use, and names that tell nothing."""

from uuid import UUID

from services.identity.domain.keys import Names, mac, subkey

KEY = bytes(range(32))


def test_each_use_has_a_key_of_its_own() -> None:
    """Two uses, or two keys, have nothing in common."""
    assert len({subkey(KEY, "a"), subkey(KEY, "b"), subkey(bytes(32), "a"), KEY}) == 4


def test_parts_are_kept_apart() -> None:
    """The same bytes in other parts are another thing."""
    assert mac(KEY, b"ab", b"c") != mac(KEY, b"a", b"bc")


def test_names_look_alike() -> None:
    """The name of a user's account and that of nobody's can't be told apart, nor read."""
    names = Names(KEY)
    made = [
        names.account("user:1"),
        names.account("email:nobody@example.com"),
        names.challenge(UUID(int=1)),
        names.source("user:1", "192.0.2.1/32"),
        names.source("user:2", "192.0.2.1/32"),
        names.source("user:1", "192.0.2.2/32"),
    ]
    assert len(set(made)) == len(made)
    assert {len(name) for name in made} == {64}
    assert Names(bytes(32)).account("user:1") != made[0]
