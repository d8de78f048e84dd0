"""How codes come about: derived from a key and the code's id, so that nothing readable needs to be kept."""

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from shared.contracts.otp import Channel, Purpose

LINK: Purpose = "password_reset_link"
"""The one purpose whose code is followed rather than typed, and therefore long enough that nobody can guess it."""

_ID_BYTES = 16
_LINK_FORM = re.compile(r"[A-Za-z0-9_-]{64}")
"""Base64url of an id and a MAC: 48 bytes, which need no padding and can be written in one way only."""


class Codes:
    """Derives codes, and the keyed hashes under which codes, accounts and addresses are kept.

    Each use has its own key, made from the one of the settings (HKDF, RFC 5869), so that no value of one use can be
    taken for one of another.
    """

    def __init__(self, key: bytes, digits: int) -> None:
        """`key` is at least 32 random bytes; codes have `digits` digits, but for those of links."""
        self._digits = digits
        uses = ("code", "link", "proof", "name")
        self._code_key, self._link_key, self._proof_key, self._name_key = (_subkey(key, use) for use in uses)

    def code(self, purpose: Purpose, code_id: UUID) -> str:
        """The code with this id, always the same one: digits, or for a link the id and 256 bits that vouch for it."""
        if purpose == LINK:
            mac = _mac(self._link_key, purpose.encode(), code_id.bytes)
            return urlsafe_b64encode(code_id.bytes + mac).decode()
        # 256 bits taken modulo at most 10^8 favour some codes by less than 2^-229: as good as even.
        number = int.from_bytes(_mac(self._code_key, purpose.encode(), code_id.bytes))
        return f"{number % 10**self._digits:0{self._digits}d}"

    def may_be_code(self, purpose: Purpose, text: str) -> bool:
        """Whether `text` has the form of a code, or for a link whether it is one that we made."""
        if purpose == LINK:
            if _LINK_FORM.fullmatch(text) is None:
                return False
            made = self.code(purpose, UUID(bytes=urlsafe_b64decode(text)[:_ID_BYTES]))
            return hmac.compare_digest(made, text)
        return len(text) == self._digits and text.isascii() and text.isdigit()

    def proof(self, account: str, purpose: Purpose, code: str) -> str:
        """What is kept and compared instead of the code itself."""
        return _mac(self._proof_key, account.encode(), purpose.encode(), code.encode()).hex()

    def account_name(self, account: str) -> str:
        """What `account` is called where it is kept."""
        return _mac(self._name_key, b"account", account.encode()).hex()

    def target_name(self, purpose: Purpose, channel: Channel, address: str) -> bytes:
        """What the receiver of a message is called where it is kept."""
        return _mac(self._name_key, b"target", purpose.encode(), channel.encode(), address.encode())


def _subkey(key: bytes, use: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"dragoman otp {use}".encode()).derive(key)


def _mac(key: bytes, *parts: bytes) -> bytes:
    # Each part with its length before it: ("ab", "c") and ("a", "bc") are different things.
    return hmac.digest(key, b"".join(len(part).to_bytes(4) + part for part in parts), sha256)
