"""The limits that operators set, as a gateway follows them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from gateway import security_settings as module
from gateway.security_settings import SecuritySettingsFollower
from shared import context
from shared.bus.bus import Bus
from shared.contracts.identity import GetSecuritySettings, SecuritySetting, SecuritySettings
from shared.errors import unavailable
from shared.process import background
from shared.telemetry import Telemetry

DEADLINE_SECONDS = 5.0
OWN = "the gateway's own"


class Identity:
    """A bus on which only `identity` is; `asked` gets a word for each time it was asked."""

    def __init__(self) -> None:
        self.limits = ""
        self.region: str | None = None
        self.failure: Exception | None = None
        self.remaining: float | None = None
        self.asked: asyncio.Queue[None] = asyncio.Queue()

    async def call(self, call: Any) -> SecuritySettings:
        """Answer."""
        assert isinstance(call, GetSecuritySettings)
        self.remaining = context.remaining()
        self.asked.put_nowait(None)
        if self.failure is not None:
            raise self.failure
        others = [SecuritySetting(name=name, value="true", default="false") for name in ("otp_enabled", "new_one")]
        settings = [*others, SecuritySetting(name="limits", value=self.limits, default="")]
        return SecuritySettings(settings=settings, default_region=self.region)

    async def heard(self) -> None:
        """Return once something that was set before was heard and dealt with: it was asked for two more times."""
        while not self.asked.empty():
            self.asked.get_nowait()
        async with asyncio.timeout(DEADLINE_SECONDS):
            for _ in range(2):
                await self.asked.get()


class Taken(list[str]):
    """What was put into force, one after the other; "unreadable" cannot be. `regions` are the countries."""

    def __init__(self) -> None:
        super().__init__()
        self.regions: set[str] = set()

    def take(self, text: str) -> None:
        """Put into force."""
        if text == "unreadable":
            raise ValueError("no limits")
        self.append(text)


@pytest.fixture
def identity() -> Identity:
    """`identity`, there and answering."""
    return Identity()


@pytest.fixture
def telemetry() -> Telemetry:
    """The gateway's."""
    return Telemetry("gateway")


@pytest.fixture
async def taken(identity: Identity, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Taken]:
    """What a running follower puts into force."""
    monkeypatch.setattr(module, "_POLL_SECONDS", 0.0)
    into = Taken()
    follower = SecuritySettingsFollower(cast("Bus", identity), OWN, into.take, into.regions.add, telemetry)
    async with background(asyncio.create_task(follower.run())):
        yield into


def stale(telemetry: Telemetry) -> float | None:
    """What the metric says."""
    return telemetry.registry.get_sample_value("dragoman_security_settings_stale")


async def test_changes(identity: Identity, taken: Taken) -> None:
    """Each change is put into force once; what was never set, or is put back, is the gateway's own."""
    await identity.heard()
    assert taken == []
    for limits in ("first", "second", ""):
        identity.limits = limits
        await identity.heard()
        await identity.heard()
    assert taken == ["first", "second", OWN]
    assert identity.remaining is not None
    assert 0 < identity.remaining <= 1


@pytest.mark.parametrize("failure", [unavailable("nobody serves identity"), RuntimeError("a fault of ours")])
async def test_identity_is_away(identity: Identity, taken: Taken, telemetry: Telemetry, failure: Exception) -> None:
    """What was heard last goes on, the metric says so, and what changed meanwhile is heard afterwards."""
    identity.limits = "first"
    await identity.heard()
    assert stale(telemetry) == 0
    identity.failure, identity.limits = failure, "second"
    await identity.heard()
    assert (taken, stale(telemetry)) == (["first"], 1)
    identity.failure = None
    await identity.heard()
    assert (taken, stale(telemetry)) == (["first", "second"], 0)


async def test_what_cannot_be_read(identity: Identity, taken: Taken, telemetry: Telemetry) -> None:
    """What this gateway cannot read changes nothing, and the metric says so until there is something that it can."""
    identity.limits = "first"
    await identity.heard()
    identity.limits = "unreadable"
    await identity.heard()
    await identity.heard()
    assert (taken, stale(telemetry)) == (["first"], 1)
    identity.limits = "second"
    await identity.heard()
    assert (taken, stale(telemetry)) == (["first", "second"], 0)


async def test_country(identity: Identity, taken: Taken) -> None:
    """The country that numbers are of is passed on; an `identity` of an earlier version, which tells none, is heard."""
    await identity.heard()
    assert taken.regions == set()
    identity.region = "NZ"
    await identity.heard()
    identity.region = None
    await identity.heard()
    assert taken.regions == {"NZ"}
