"""What is derived from a state."""

import re
from hashlib import sha256

from authlib.oauth2.rfc7636 import create_s256_code_challenge

from services.identity.domain.provider_states import ProviderStates, encoded

KEY = bytes(range(32))
STATE, BROWSER = "a state of which nobody knows", "a secret of the browser"


def test_each_thing_is_another() -> None:
    """Neither the name nor the nonce of a state, which others see, tells its code verifier, nor do other states."""
    states, other = ProviderStates(KEY), ProviderStates(bytes(32))
    derived = [
        *(states.name(STATE), states.nonce(STATE), states.code_verifier(STATE), states.browser(STATE, BROWSER)),
        *(states.nonce("another"), states.code_verifier("another"), states.browser("another", BROWSER)),
        *(other.nonce(STATE), other.code_verifier(STATE)),
    ]
    assert len(set(derived)) == len(derived)
    assert states.code_verifier(STATE) == ProviderStates(KEY).code_verifier(STATE)


def test_code_verifier() -> None:
    """The code verifier has the form of RFC 7636, and the challenge made of it is its SHA-256."""
    verifier = ProviderStates(KEY).code_verifier(STATE)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", verifier)
    challenge = create_s256_code_challenge(verifier)  # type: ignore[no-untyped-call]
    assert challenge == encoded(sha256(verifier.encode()).digest())


def test_browser() -> None:
    """A browser is known by its secret, for that state alone."""
    states = ProviderStates(KEY)
    kept = states.browser(STATE, BROWSER)
    assert states.is_browser(STATE, BROWSER, kept)
    assert not states.is_browser(STATE, "another secret", kept)
    assert not states.is_browser("another state", BROWSER, kept)
