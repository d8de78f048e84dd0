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

    def __init__(self, key: bytes) -> None:
        self._key = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"dragoman refresh token").derive(key)

    def encode(self, token: RefreshToken) -> str:
        """The same text for the same session and counter, so that a successor can be given twice."""
        head = _HEAD.pack(_VERSION, token.session_id.bytes, token.counter)
        return base64.urlsafe_b64encode(head + self._mac(head)).rstrip(b"=").decode()

    def decode(self, text: str) -> RefreshToken | None:
        """What the token says, None when we did not make it."""
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        head, mac = raw[: _HEAD.size], raw[_HEAD.size :]
        if len(mac) != _MAC_BYTES or not hmac.compare_digest(mac, self._mac(head)):
            return None
        version, session_id, counter = _HEAD.unpack(head)
        # One text a token: base64 leaves bits unused in the last character that would make it several.
        token = RefreshToken(UUID(bytes=session_id), counter)
        return token if version == _VERSION and self.encode(token) == text else None

    def _mac(self, head: bytes) -> bytes:
        return hmac.digest(self._key, head, hashlib.sha256)
