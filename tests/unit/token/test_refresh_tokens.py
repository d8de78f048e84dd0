"""Refresh tokens cannot be made up, altered or spelled in two ways."""

import string
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.token.domain.refresh_tokens import RefreshToken, RefreshTokens

ALPHABET = string.ascii_letters + string.digits + "-_"
TOKENS = RefreshTokens(bytes(range(32)))
tokens = st.builds(RefreshToken, st.uuids(), st.integers(0, 2**32 - 1))


@given(tokens)
def test_what_was_encoded_is_decoded(token: RefreshToken) -> None:
    """A refresh token of ours is recognised, and the same session and counter give the same text each time."""
    text = TOKENS.encode(token)
    assert TOKENS.decode(text) == token
    assert TOKENS.encode(token) == text
    assert set(text) <= set(ALPHABET)


@given(tokens, st.data())
def test_any_other_character_spoils_it(token: RefreshToken, data: st.DataObject) -> None:
    """A refresh token with one character changed, added or taken away is not recognised."""
    text = TOKENS.encode(token)
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from([c for c in ALPHABET + "=+/ \n\0é" if c != text[at]]))
    assert TOKENS.decode(text[:at] + other + text[at + 1 :]) is None
    assert TOKENS.decode(text[:at] + other + text[at:]) is None
    assert TOKENS.decode(text[:at] + text[at + 1 :]) is None


@given(tokens)
def test_one_text_per_token(token: RefreshToken) -> None:
    """Of all texts that differ in the last character or in padding only the one that was given out counts."""
    text = TOKENS.encode(token)
    assert [c for c in ALPHABET if TOKENS.decode(text[:-1] + c)] == [text[-1]]
    assert all(TOKENS.decode(text + tail) is None for tail in ("=", "==", "\n", " "))


@given(st.text(max_size=100))
def test_any_text_is_no_token(text: str) -> None:
    """Whatever a client sends as a refresh token is refused rather than failing."""
    assert TOKENS.decode(text) is None


@given(tokens, st.binary(min_size=32, max_size=64).filter(lambda key: key != bytes(range(32))))
def test_another_key(token: RefreshToken, key: bytes) -> None:
    """A refresh token made under another key is not recognised."""
    assert TOKENS.decode(RefreshTokens(key).encode(token)) is None


def test_successors_differ() -> None:
    """Each rotation gives another token, of the same length, and the session's id alone does not tell it."""
    session = UUID(int=7)
    texts = [TOKENS.encode(RefreshToken(session, counter)) for counter in range(100)]
    assert len(set(texts)) == 100
    assert len({len(text) for text in texts}) == 1


@given(tokens)
def test_the_key_before(token: RefreshToken) -> None:
    """After a change of key a token of the one before counts while that is known, and new ones are of the new key."""
    after = RefreshTokens(bytes(32), bytes(range(32)))
    old, new = TOKENS.encode(token), after.encode(token)
    assert (after.decode(old), after.decode(new)) == (token, token)
    assert new == RefreshTokens(bytes(32)).encode(token) != old
    assert [c for c in ALPHABET if after.decode(old[:-1] + c)] == [old[-1]]
