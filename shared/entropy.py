"""Randomness as a parameter, so that tests can repeat it."""

import secrets  # noqa: TID251 - the one reader of the system's generator
from typing import Protocol
from uuid import UUID


class Entropy(Protocol):
    """A source of unguessable bytes."""

    def token_bytes(self, size: int) -> bytes:
        """`size` bytes nobody can predict."""

    def uuid(self) -> UUID:
        """A version 4 UUID (RFC 9562 §5.4)."""


class SystemEntropy:
    """The operating system's generator: the only place that reads it."""

    def token_bytes(self, size: int) -> bytes:
        """`size` bytes from the operating system."""
        return secrets.token_bytes(size)

    def uuid(self) -> UUID:
        """A version 4 UUID from the operating system's bytes."""
        return UUID(bytes=self.token_bytes(16), version=4)
