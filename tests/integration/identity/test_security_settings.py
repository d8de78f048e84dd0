"""Security settings that operators change while everything runs."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import urlsplit, urlunsplit

import pytest

from shared import context
from shared.contracts.identity import GetSecuritySettings, SecuritySetting, SetSecuritySetting
from shared.errors import Error, ErrorCode
from tests.integration.identity.conftest import CODE, EMAIL, Identity, Platform, outcome
from tests.support.proxy import TcpProxy
from tests.support.waiting import eventually

NOBODY = "nobody@example.com"
CHANGED = "identity.security_setting_changed.v1"
FOLLOWED_SECONDS = 1.0


async def change(identity: Identity, name: str, value: str | None, by: str = "ada") -> dict[str, SecuritySetting]:
    """Change a setting; all of them as they are then."""
    told = await identity.callers["operator"].call(SetSecuritySetting(name=name, value=value, changed_by=by))
    return {setting.name: setting for setting in told.settings}


async def settings(identity: Identity, caller: str = "gateway") -> dict[str, SecuritySetting]:
    """All settings by name."""
    told = await identity.callers[caller].call(GetSecuritySettings())
    return {setting.name: setting for setting in told.settings}


async def follows(identity: Identity, expected: str, seconds: float = FOLLOWED_SECONDS) -> None:
    """Return once asking for a code has this outcome."""

    async def look() -> bool | None:
        return await outcome(identity.send_code(email=EMAIL)) == expected or None

    await eventually(look, seconds, f"asking for a code is {expected}")


@pytest.fixture
async def proxy(platform: Platform) -> AsyncIterator[TcpProxy]:
    """What stands between `identity` and PostgreSQL."""
    parts = urlsplit(platform.settings["DRAGOMAN_POSTGRES_URL"])
    async with TcpProxy(parts.hostname or "", parts.port or 5432) as standing:
        netloc = f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{standing.port}"
        platform.settings["DRAGOMAN_POSTGRES_URL"] = urlunsplit(parts._replace(netloc=netloc))
        yield standing


async def test_every_replica_follows(platform: Platform) -> None:
    """What one replica was told holds there at once, and at another one within a second."""
    elsewhere = Platform(platform.settings, platform.database, platform.clock)
    async with platform.running() as told, elsewhere.running() as other:
        await follows(other, "ok")
        await change(told, "otp_enabled", "off")
        assert await outcome(told.send_code(email=EMAIL)) == "feature_disabled"
        await follows(other, "feature_disabled")
        await change(told, "otp_enabled", None)
        assert await outcome(told.send_code(email=EMAIL)) == "ok"
        await follows(other, "ok")


async def test_who_and_when(identity: Identity) -> None:
    """Each setting tells its value, its default, and who changed it last and when, also back to the default."""
    untouched = await settings(identity)
    assert untouched["otp_enabled"] == SecuritySetting(name="otp_enabled", value="true", default="true")
    assert list(untouched) == [
        "allow_new_users",
        "email_second_factor_default",
        "limits",
        "otp_enabled",
        "otp_ttl_seconds",
    ]
    first = identity.platform.clock.now()
    changed = await change(identity, "otp_enabled", "no")
    expected = SecuritySetting(name="otp_enabled", value="false", default="true", changed_at=first, changed_by="ada")
    assert changed == untouched | {"otp_enabled": expected}
    identity.platform.clock.advance(60)
    reset = await change(identity, "otp_enabled", None, by="grace")
    later = {"value": "true", "changed_at": first + timedelta(seconds=60), "changed_by": "grace"}
    assert reset["otp_enabled"] == expected.model_copy(update=later)
    assert await settings(identity) == await settings(identity, "operator") == reset


async def test_a_restart_keeps_it(platform: Platform) -> None:
    """What was changed holds after a restart, whatever the environment says, until it is put back."""
    async with platform.running() as identity:
        await change(identity, "otp_enabled", "off")
        await change(identity, "limits", "/v1/login account=5/60")
    async with platform.running(otp_enabled="yes") as identity:
        assert await outcome(identity.send_code(email=EMAIL)) == "feature_disabled"
        assert (await settings(identity))["limits"].value == "/v1/login account=5/60"
        await change(identity, "otp_enabled", None)
    async with platform.running(otp_enabled="yes") as identity:
        assert await outcome(identity.send_code(email=EMAIL)) == "ok"


@pytest.mark.parametrize(
    ("name", "value", "by", "code"),
    [
        ("otp", "off", "ada", ErrorCode.NOT_FOUND),
        ("secret_key", None, "ada", ErrorCode.NOT_FOUND),
        ("otp_enabled", "perhaps", "ada", ErrorCode.INVALID_REQUEST),
        ("otp_ttl_seconds", "1801", "ada", ErrorCode.INVALID_REQUEST),
        ("limits", "one\ntwo", "ada", ErrorCode.INVALID_REQUEST),
        ("otp_enabled", "off", " ", ErrorCode.INVALID_REQUEST),
        ("otp_enabled", None, "ada\x00", ErrorCode.INVALID_REQUEST),
        ("otp_enabled", "off", "a" * 201, ErrorCode.INVALID_REQUEST),
    ],
)
async def test_what_makes_no_sense(identity: Identity, name: str, value: str | None, by: str, code: ErrorCode) -> None:
    """An unknown name, a value that the setting cannot have and a change by nobody are refused; nothing changes."""
    before = await settings(identity)
    with pytest.raises(Error) as caught:
        await change(identity, name, value, by)
    assert caught.value.code == code
    if code == ErrorCode.INVALID_REQUEST:
        assert caught.value.detail == {"problem": caught.value.message}
    assert await settings(identity) == before
    assert await identity.told() == []


async def test_it_is_told(identity: Identity) -> None:
    """Each change is told once, with who and when; what is so already, or was never changed, is no change."""
    await change(identity, "otp_ttl_seconds", None)
    assert await identity.told() == []
    moments = []
    for value in ("60", "60", " 60 ", None, None):
        moments.append(identity.platform.clock.now())
        await change(identity, "otp_ttl_seconds", value, by="ada" if value else "grace")
        identity.platform.clock.advance(1)
    rows = await identity.platform.database.fetch("SELECT subject, body FROM identity.outbox ORDER BY position")
    assert [row["subject"] for row in rows] == [CHANGED] * 2
    told = [json.loads(row["body"]) for row in rows]
    assert [(each["name"], each["value"], each["changed_by"]) for each in told] == [
        ("otp_ttl_seconds", "60", "ada"),
        ("otp_ttl_seconds", None, "grace"),
    ]
    when = [moment.isoformat().replace("+00:00", "Z") for moment in (moments[0], moments[3])]
    assert [each["changed_at"] for each in told] == when


async def test_what_cannot_be_told_is_not_changed(identity: Identity) -> None:
    """The change and the event that tells of it are one: where the one fails there is not the other."""
    database = identity.platform.database
    constraint = f"ADD CONSTRAINT never_told CHECK (subject <> '{CHANGED}')"
    await database.execute(f"ALTER TABLE identity.outbox {constraint}")
    try:
        assert await outcome(change(identity, "otp_enabled", "off")) == "internal"
    finally:
        await database.execute("ALTER TABLE identity.outbox DROP CONSTRAINT never_told")
    assert await database.fetch("SELECT name FROM identity.security_settings") == []
    assert await outcome(identity.send_code(email=EMAIL)) == "ok"


async def test_codes_off(identity: Identity) -> None:
    """Once codes are off one that is on its way is no password any more; on again, it is."""
    await identity.create()
    await identity.send_code(email=EMAIL)
    await change(identity, "otp_enabled", "off")
    assert await outcome(identity.authenticate(EMAIL, CODE)) == "wrong_password"
    await change(identity, "otp_enabled", "on")
    assert await outcome(identity.authenticate(EMAIL, CODE)) == "ok"


async def test_new_users(identity: Identity) -> None:
    """Once new users are not welcome none is sent a code, and no code on its way makes one."""
    await identity.send_code(email=NOBODY)
    await change(identity, "allow_new_users", "no")
    await identity.send_code(email="another@example.com")
    assert [call.deliver for call in identity.platform.otp.issued] == [True, False]
    assert await outcome(identity.authenticate(NOBODY, CODE)) == "no_such_user"
    await change(identity, "allow_new_users", None)
    await identity.send_code(email=NOBODY)
    assert (await identity.authenticate(NOBODY, CODE)).user.email == NOBODY


async def test_life_of_codes(identity: Identity) -> None:
    """Sign-in codes live as long as was set; by default that is left to the service that makes them."""
    await identity.create()
    for value in ("60", None):
        await change(identity, "otp_ttl_seconds", value)
        await identity.send_code(email=EMAIL)
    assert [call.ttl_seconds for call in identity.platform.otp.issued] == [60, None]


async def test_second_factor_of_new_users(identity: Identity) -> None:
    """Users with an e-mail address begin with that factor where it is the default; others and earlier ones do not."""
    earlier = await identity.create(email="earlier@example.com")
    await change(identity, "email_second_factor_default", "yes")
    assert (await identity.create(email=EMAIL)).second_factors == ["email"]
    assert (await identity.create(username="no-mail")).second_factors == []
    assert await outcome(identity.authenticate("earlier@example.com")) == "ok"
    assert earlier.second_factors == []
    await identity.send_code(email=NOBODY)
    assert (await identity.authenticate(NOBODY, CODE)).user.second_factors == []
    await change(identity, "email_second_factor_default", None)
    assert (await identity.create(email="later@example.com")).second_factors == []
    asked = await identity.create(email="asked@example.com", email_second_factor=True)
    assert asked.second_factors == ["email"]


async def test_while_postgresql_is_away(platform: Platform, proxy: TcpProxy) -> None:
    """What was read last holds and is told; nothing can be changed; what others changed is followed afterwards."""
    elsewhere = Platform(platform.settings, platform.database, platform.clock)
    async with platform.running() as identity:
        changed = await change(identity, "otp_enabled", "off")
        proxy.refusing = True
        proxy.cut()
        assert await outcome(identity.send_code(email=EMAIL)) == "feature_disabled"
        assert await settings(identity) == changed
        assert await outcome(change(identity, "otp_enabled", "on")) == "unavailable"
        assert await settings(identity) == changed
        proxy.freeze()
        proxy.refusing = False
        with context.request("gateway-asks", 0.9):  # it waits for a second
            assert await settings(identity) == changed
        proxy.thaw()
        async with elsewhere.running() as other:
            await eventually_changed(other)
        await follows(identity, "ok", 10.0)


async def eventually_changed(identity: Identity) -> None:
    """Turn codes on, as soon as the database lets it."""

    async def look() -> bool | None:
        return await outcome(change(identity, "otp_enabled", "on")) == "ok" or None

    await eventually(look, 10.0, "the setting is changed")


async def test_before_postgresql_was_ever_there(platform: Platform, proxy: TcpProxy) -> None:
    """A replica that could never read them goes by no defaults: what was turned off stays off."""
    async with platform.running() as identity:
        await change(identity, "otp_enabled", "off")
    proxy.refusing = True
    proxy.cut()
    async with platform.running() as identity:
        assert await outcome(identity.send_code(email=EMAIL)) == "unavailable"
        assert await outcome(settings(identity)) == "unavailable"
        proxy.refusing = False
        await follows(identity, "feature_disabled", 5.0)


async def test_on_the_schema_of_the_release_before(platform: Platform) -> None:
    """Before the migration everything goes by its defaults, and changing something is refused."""
    await platform.database.execute("ALTER TABLE identity.security_settings RENAME TO not_yet")
    try:
        async with platform.running() as identity:
            assert await outcome(identity.send_code(email=EMAIL)) == "ok"
            assert await outcome(change(identity, "otp_enabled", "off")) == "unavailable"
            await platform.database.execute("ALTER TABLE identity.not_yet RENAME TO security_settings")
            await change(identity, "otp_enabled", "off")
            assert await outcome(identity.send_code(email=EMAIL)) == "feature_disabled"
    finally:
        await platform.database.execute("ALTER TABLE IF EXISTS identity.not_yet RENAME TO security_settings")


async def test_country_is_told(platform: Platform) -> None:
    """Who asks for the settings is told what country a number without a country code is taken for one of."""
    async with platform.running(default_region="nz") as identity:
        told = await identity.callers["gateway"].call(GetSecuritySettings())
    assert told.default_region == "NZ"
