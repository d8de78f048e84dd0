"""What must hold when something around the service fails."""

from datetime import datetime
from typing import cast
from uuid import UUID

import pytest
from pydantic import SecretStr

from services.password.domain.hasher import Hasher
from services.password.domain.policy import Policy
from services.password.repository import PasswordRepository
from services.password.service import PasswordService
from shared.contracts.password import SetPassword, VerifyPassword
from shared.errors import Error, ErrorCode, unavailable
from shared.hashing import HashPool
from shared.telemetry import Telemetry
from shared.testing import FakeClock, SeededEntropy
from tests.unit.password.foreign_hashes import HASHES, PASSWORD

USER = UUID(int=1)


class Passwords:
    """A repository in memory whose `replace` fails."""

    def __init__(self) -> None:
        self.stored: dict[UUID, str] = {}
        self.replacing = 0

    async def find(self, user_id: UUID) -> str | None:
        """As the real one."""
        return self.stored.get(user_id)

    async def save(self, user_id: UUID, stored: str) -> datetime:
        """As the real one."""
        self.stored[user_id] = stored
        return FakeClock().now()

    async def replace(self, user_id: UUID, old: str, new: str) -> None:
        """Fail, and count that it was tried."""
        self.replacing += 1
        raise unavailable("the database is gone")


def service(passwords: Passwords, pool: HashPool) -> PasswordService:
    """A quick one."""
    hasher = Hasher(memory_kib=64, time_cost=1, parallelism=1, entropy=SeededEntropy())
    policy = Policy(min_length=15, common=frozenset())
    repository = cast("PasswordRepository", passwords)
    return PasswordService(repository, hasher, pool, policy, Telemetry("password"))


async def test_failed_rehash() -> None:
    """A sign-in succeeds although its hash cannot be brought up to date."""
    passwords = Passwords()
    passwords.stored[USER] = HASHES["bcrypt 2b"]
    async with HashPool(1, 8) as pool, service(passwords, pool) as under_test:
        reply = await under_test.verify(VerifyPassword(user_id=USER, password=SecretStr(PASSWORD)))
    assert reply.matches
    assert passwords.replacing == 1


async def test_unpoliced_password_must_be_verifiable() -> None:
    """Even past the policy nobody gets a password with which they could never sign in."""
    async with HashPool(1, 8) as pool, service(Passwords(), pool) as under_test:
        for password, reason in {"": "too_short", "x" * 1025: "too_long"}.items():
            with pytest.raises(Error) as caught:
                await under_test.set(SetPassword(user_id=USER, password=SecretStr(password), enforce_policy=False))
            assert caught.value.code == ErrorCode.WEAK_PASSWORD
            assert caught.value.detail["reasons"] == [reason]
