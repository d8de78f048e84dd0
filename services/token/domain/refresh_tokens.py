"""Refresh tokens, derived: session id and counter under an HMAC, so that none is stored and none can be made up."""

import base64
import binascii
import hashlib
import hmac
import struct
from dataclasses import dataclass
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_VERSION = 1
_HEAD = struct.Struct(">B16sI")
_MAC_BYTES = 32


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """Which session, and which of its tokens: `counter` grows with each rotation."""

    session_id: UUID
    counter: int


class RefreshTokens:
    """Makes and reads refresh tokens with a key of their own purpose."""

    def __init__(self, key: bytes, previous: bytes = b"") -> None:
        """Tokens that the previous key made, if there is one, are read as well; new ones are made by `key` alone."""
        self._key = _derived(key)
        self._keys = [self._key, *([_derived(previous)] if previous else [])]

    def encode(self, token: RefreshToken) -> str:
        """The same text for the same session and counter, so that a successor can be given twice."""
        return _text(self._key, token)

    def decode(self, text: str) -> RefreshToken | None:
        """What the token says, None when we did not make it."""
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        head, mac = raw[: _HEAD.size], raw[_HEAD.size :]
        key = next((key for key in self._keys if hmac.compare_digest(mac, _mac(key, head))), None)
        if len(mac) != _MAC_BYTES or key is None:
            return None
        version, session_id, counter = _HEAD.unpack(head)
        # One text a token: base64 leaves bits unused in the last character that would make it several.
        token = RefreshToken(UUID(bytes=session_id), counter)
        return token if version == _VERSION and _text(key, token) == text else None


def _derived(key: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"dragoman refresh token").derive(key)


def _text(key: bytes, token: RefreshToken) -> str:
    head = _HEAD.pack(_VERSION, token.session_id.bytes, token.counter)
    return base64.urlsafe_b64encode(head + _mac(key, head)).rstrip(b"=").decode()


def _mac(key: bytes, head: bytes) -> bytes:
    return hmac.digest(key, head, hashlib.sha256)
