"""What security settings may be, and reads of them that overtake each other."""

import asyncio
from typing import cast

import pytest

from services.identity.domain.security_settings import SecurityValues
from services.identity.repository.security_settings import SecuritySettingRepository, StoredSetting
from services.identity.service.security_settings import SecuritySettingsService
from shared.contracts.identity import GetSecuritySettings
from shared.telemetry import Telemetry
from shared.testing import FakeClock

DEFAULTS = SecurityValues(otp_enabled=True, allow_new_users=False)


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("otp_enabled", "off", "false"),
        ("otp_enabled", "Yes", "true"),
        ("allow_new_users", "1", "true"),
        ("email_second_factor_default", "true", "true"),
        ("otp_ttl_seconds", "60", "60"),
        ("otp_ttl_seconds", " 1800 ", "1800"),
        ("otp_ttl_seconds", "", ""),
        ("limits", "/v1/login account=5/60", "/v1/login account=5/60"),
        ("limits", "x" * 4000, "x" * 4000),
        ("limits", "", ""),
    ],
)
def test_values(name: str, given: str, kept: str) -> None:
    """A value is read as the environment's would be and kept in one form, which reads as the same value again."""
    changed = DEFAULTS.changed({name: given})
    assert changed.texts() == DEFAULTS.texts() | {name: kept}
    assert DEFAULTS.changed(changed.texts()) == changed


@pytest.mark.parametrize(
    ("name", "given", "problem"),
    [
        ("otp_enabled", "", "valid boolean"),
        ("allow_new_users", "perhaps", "valid boolean"),
        ("otp_ttl_seconds", "59", "greater than or equal to 60"),
        ("otp_ttl_seconds", "1801", "less than or equal to 1800"),
        ("otp_ttl_seconds", "0", "greater than or equal to 60"),
        ("otp_ttl_seconds", "ten minutes", "valid integer"),
        ("limits", "x" * 4001, "at most 4000 characters"),
        ("limits", "one\ntwo", "printable"),
        ("limits", "\x00", "printable"),
    ],
)
def test_values_that_make_no_sense(name: str, given: str, problem: str) -> None:
    """Whatever is refused is refused with what is wrong with it."""
    with pytest.raises(ValueError, match=problem):
        DEFAULTS.changed({name: given})


class SlowRepository:
    """Each read waits for its own door; what it finds is what was there when it began."""

    def __init__(self) -> None:
        self.stored: list[StoredSetting] = []
        self.doors: asyncio.Queue[asyncio.Event] = asyncio.Queue()

    async def all(self) -> list[StoredSetting]:
        """Read."""
        found, door = list(self.stored), asyncio.Event()
        self.doors.put_nowait(door)
        await door.wait()
        return found


async def begun(repository: SlowRepository) -> asyncio.Event:
    """The door of the read that begins next."""
    async with asyncio.timeout(5):
        return await repository.doors.get()


async def test_a_slow_read_brings_nothing_back() -> None:
    """What a read that began before a change finds after it does not undo what is known already."""
    clock, repository = FakeClock(), SlowRepository()
    kept = cast("SecuritySettingRepository", repository)
    service = SecuritySettingsService(DEFAULTS, "DE", kept, clock, Telemetry("identity"))
    slow = asyncio.create_task(service.get_security_settings(GetSecuritySettings()))
    first = await begun(repository)
    repository.stored.append(StoredSetting("otp_enabled", "false", clock.now(), "ada"))
    quick = asyncio.create_task(service.get_security_settings(GetSecuritySettings()))
    (await begun(repository)).set()
    await quick
    first.set()
    told = await slow
    assert {setting.name: setting.value for setting in told.settings}["otp_enabled"] == "false"
    assert not (await service.values()).otp_enabled


@pytest.mark.parametrize(("name", "value"), [("otp_ttl_seconds", "1000000"), ("unheard_of", "true")])
async def test_settings_of_another_version(name: str, value: str) -> None:
    """A kept setting that this version does not know, or cannot read, leaves the others as they are."""
    clock, repository = FakeClock(), SlowRepository()
    kept = cast("SecuritySettingRepository", repository)
    service = SecuritySettingsService(DEFAULTS, "DE", kept, clock, Telemetry("identity"))
    repository.stored += [
        StoredSetting(name, value, clock.now(), "ada"),
        StoredSetting("allow_new_users", "true", clock.now(), "ada"),
    ]
    reading = asyncio.create_task(service.values())
    (await begun(repository)).set()
    assert await reading == DEFAULTS.changed({"allow_new_users": "true"})
