"""What is remembered of somebody whom a provider is about to sign in, and what is derived from the state instead."""

import hmac
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from services.identity.domain.keys import mac, subkey

STATE_BYTES = 32
LIFE = timedelta(minutes=5)


class PendingSignIn(BaseModel):
    """A sign-in that a provider was asked for, bound to the browser by a keyed hash. There is no secret in it."""

    model_config = ConfigDict(frozen=True)

    provider: str
    dialect: str
    callback_url: str
    browser: str
    expires_at: datetime


class ProviderStates:
    """What belongs to a state: all of it is derived, so that a look at what is kept finishes no sign-in."""

    def __init__(self, secret_key: bytes) -> None:
        self._name_key = subkey(secret_key, "provider state name")
        self._browser_key = subkey(secret_key, "provider browser")
        self._verifier_key = subkey(secret_key, "provider code verifier")
        self._nonce_key = subkey(secret_key, "provider nonce")

    def name(self, state: str) -> str:
        """What the state is called where it is kept."""
        return mac(self._name_key, state.encode()).hex()

    def browser(self, state: str, secret: str) -> str:
        """What is kept of a browser's secret."""
        return mac(self._browser_key, state.encode(), secret.encode()).hex()

    def is_browser(self, state: str, secret: str, kept: str) -> bool:
        """Whether that is the browser's secret, in a time that does not tell how near a wrong one is."""
        return hmac.compare_digest(self.browser(state, secret), kept)

    def code_verifier(self, state: str) -> str:
        """The PKCE code verifier (RFC 7636 §4.1), 43 characters."""
        return encoded(mac(self._verifier_key, state.encode()))

    def nonce(self, state: str) -> str:
        """The nonce that the id_token must carry (OpenID Connect Core §3.1.2.1)."""
        return encoded(mac(self._nonce_key, state.encode()))


def encoded(value: bytes) -> str:
    """Base64url without padding."""
    return urlsafe_b64encode(value).rstrip(b"=").decode()
