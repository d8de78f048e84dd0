"""What the password service can be told."""

from typing import ClassVar

from pydantic import Field, ValidationInfo, field_validator

from shared.server_urls import PostgresUrl
from shared.settings import Settings

_OWASP_CHOICES = ((47104, 1), (19456, 2), (12288, 3), (9216, 4), (7168, 5))
"""Memory in KiB and passes of argon2id that OWASP's Password Storage Cheat Sheet calls equally strong."""


class PasswordSettings(Settings):
    """Where the hashes are kept, what a hash costs and how long a password must be."""

    component: ClassVar[str] = "password"

    postgres_url: PostgresUrl = Field(description="PostgreSQL URL of the service's own role")
    memory_kib: int = Field(19456, ge=7168, le=128 * 1024, description="memory of one argon2id hash, in KiB")
    time_cost: int = Field(2, ge=1, le=8, description="passes of argon2id over its memory")
    parallelism: int = Field(1, ge=1, le=16, description="lanes of argon2id, each a thread while a hash is made")
    workers: int = Field(0, ge=0, le=256, description="hashes made at once; 0 is one per core, never more than that")
    queue: int = Field(64, ge=0, le=1000, description="hashes that may wait; beyond that callers hear overloaded")
    min_length: int = Field(
        15, ge=6, le=64, description="least characters of a new password (NIST SP 800-63B-4: 15, or 8 beside a factor)"
    )

    @field_validator("time_cost")
    @classmethod
    def _as_strong_as_owasp_asks(cls, time_cost: int, info: ValidationInfo) -> int:
        memory_kib = info.data.get("memory_kib", 0)
        if not any(memory_kib >= memory and time_cost >= passes for memory, passes in _OWASP_CHOICES):
            choices = ", ".join(f"{memory}/{passes}" for memory, passes in _OWASP_CHOICES)
            raise ValueError(f"with memory_kib {memory_kib} weaker than OWASP's minimum; at least one of {choices}")
        return time_cost
