"""One key for each use, all made from the one of the settings."""

import hmac
from hashlib import sha256
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def subkey(key: bytes, use: str) -> bytes:
    """A key of 32 bytes for one use (HKDF, RFC 5869), so that no value of one use passes for one of another."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"dragoman identity {use}".encode()).derive(key)


def mac(key: bytes, *parts: bytes) -> bytes:
    """The HMAC of these parts, each with its length before it: ("ab", "c") and ("a", "bc") are different things."""
    return hmac.digest(key, b"".join(len(part).to_bytes(4) + part for part in parts), sha256)


class Names:
    """What accounts and challenges are called in Redis: keyed hashes, so that a look at it tells nobody anything."""

    def __init__(self, secret_key: bytes) -> None:
        self._account_key = subkey(secret_key, "account name")
        self._challenge_key = subkey(secret_key, "challenge name")

    def account(self, account: str) -> str:
        """The name of an account, alike for those of users and for those that nobody has."""
        return mac(self._account_key, account.encode()).hex()

    def challenge(self, token: UUID) -> str:
        """The name of the challenge that this token answers."""
        return mac(self._challenge_key, token.bytes).hex()
