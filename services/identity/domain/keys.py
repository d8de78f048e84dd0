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
    """What accounts, sources and challenges are called in Redis: keyed hashes, so that a look at it tells nothing."""

    def __init__(self, secret_key: bytes) -> None:
        self._account_key = subkey(secret_key, "account name")
        self._source_key = subkey(secret_key, "source name")
        self._challenge_key = subkey(secret_key, "challenge name")

    def account(self, account: str) -> str:
        """The name of an account, alike for those of users and for those that nobody has."""
        return mac(self._account_key, account.encode()).hex()

    def source(self, account: str, source: str) -> str:
        """The name of a source as one account knows it: another's name for the same source has nothing in common."""
        return mac(self._source_key, account.encode(), source.encode()).hex()

    def challenge(self, token: UUID) -> str:
        """The name of the challenge that this token answers."""
        return mac(self._challenge_key, token.bytes).hex()
