"""What the operator may choose."""

import pytest

from services.password.settings import PasswordSettings
from shared.settings import SettingsError

REQUIRED = {"DRAGOMAN_POSTGRES_URL": "postgresql://nowhere/x", "DRAGOMAN_RABBITMQ_URL": "amqp://nowhere"}


def load(memory_kib: int, time_cost: int) -> PasswordSettings:
    """Settings with this strength of argon2id."""
    strength = {"DRAGOMAN_PASSWORD_MEMORY_KIB": str(memory_kib), "DRAGOMAN_PASSWORD_TIME_COST": str(time_cost)}
    return PasswordSettings.load(REQUIRED | strength)


def test_default_is_owasps_minimum() -> None:
    """Nothing need be set: 19 MiB and two passes, fifteen characters."""
    settings = PasswordSettings.load(REQUIRED)
    assert (settings.memory_kib, settings.time_cost, settings.parallelism, settings.min_length) == (19456, 2, 1, 15)


@pytest.mark.parametrize(("memory_kib", "time_cost"), [(47104, 1), (12288, 3), (9216, 4), (7168, 5), (65536, 3)])
def test_equal_or_stronger(memory_kib: int, time_cost: int) -> None:
    """Every strength that OWASP calls equal, and more, is accepted."""
    assert load(memory_kib, time_cost).memory_kib == memory_kib


@pytest.mark.parametrize(("memory_kib", "time_cost"), [(47103, 1), (19455, 2), (12287, 3), (9215, 4), (7168, 4)])
def test_weaker(memory_kib: int, time_cost: int) -> None:
    """A weaker strength is refused at start, and the message names the setting and what is enough."""
    with pytest.raises(SettingsError, match=r"DRAGOMAN_PASSWORD_TIME_COST: .*at least one of 47104/1"):
        load(memory_kib, time_cost)
