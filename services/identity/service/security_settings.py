"""The security settings that hold now: every replica follows the database, and goes on with what it read last."""

import asyncio

from services.identity.domain.security_settings import SecurityValues
from services.identity.repository.security_settings import SecuritySettingRepository, StoredSetting
from shared.clock import Clock
from shared.contracts import identity as contract
from shared.contracts.identity import SecuritySetting, SecuritySettings
from shared.errors import Error, ErrorCode
from shared.telemetry import Telemetry

_POLL_SECONDS = 0.5
"""A change is followed within a second, with time to spare for the query."""

_READ_SECONDS = 0.5
"""How long whoever asks for the settings waits for the database: those who follow by asking wait a second in all."""

_LONGEST_NAME = 200


class SecuritySettingsService:
    """Knows what holds, and changes it for every replica.

    While PostgreSQL is away what was read last holds. Before anything was ever read nothing is known, the defaults
    included: what an operator has turned off does not come back because the database is slow.
    """

    def __init__(
        self,
        defaults: SecurityValues,
        default_region: str,
        repository: SecuritySettingRepository,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        """`defaults` hold for whatever nobody has changed; `default_region` is only told along with them."""
        self._defaults = defaults
        self._default_region = default_region
        self._repository = repository
        self._clock = clock
        self._telemetry = telemetry
        self._known: SecurityValues | None = None
        self._stored: dict[str, StoredSetting] = {}
        self._reads_begun = 0
        self._read_applied = 0
        self._away = False

    async def values(self) -> SecurityValues:
        """What holds now. Raises `unavailable` when that was never read and cannot be."""
        return self._known or await self._read()

    async def follow(self) -> None:
        """Read what others have changed, until cancelled."""
        while True:
            try:
                await self._read()
                self._away = False
            except Error as error:
                if not self._away:
                    self._telemetry.log.warning("security settings are those read last", reason=error.message)
                self._away = True
            except Exception:
                self._telemetry.log.exception("reading the security settings failed")
            await asyncio.sleep(_POLL_SECONDS)

    async def get_security_settings(self, _call: contract.GetSecuritySettings) -> SecuritySettings:
        """What holds, as the database has it; as it was read last while that is away."""
        try:
            async with asyncio.timeout(_READ_SECONDS):
                await self._read()
        except (TimeoutError, Error):
            if self._known is None:
                raise Error(ErrorCode.UNAVAILABLE, "the security settings were never read", retry_after=1.0) from None
        return self._told()

    async def set_security_setting(self, call: contract.SetSecuritySetting) -> SecuritySettings:
        """Change one; this replica goes by it before it answers."""
        if call.name not in SecurityValues.names():
            raise Error(ErrorCode.NOT_FOUND, f"no such security setting; there are {', '.join(SecurityValues.names())}")
        value = call.value
        if value is not None:
            try:
                value = self._defaults.changed({call.name: value}).texts()[call.name]
            except ValueError as error:
                raise _invalid(f"{call.name}: {error}") from None
        by = call.changed_by.strip()
        if not by or not by.isprintable() or len(by) > _LONGEST_NAME:
            raise _invalid(f"changed_by: must be a printable name of 1 to {_LONGEST_NAME} characters")
        change = StoredSetting(call.name, value, self._clock.now(), by)
        if await self._repository.change(change):
            self._telemetry.log.info(
                "security setting changed", setting=change.name, value=change.value, by=change.changed_by
            )
        await self._read()
        return self._told()

    async def _read(self) -> SecurityValues:
        self._reads_begun += 1
        number = self._reads_begun
        stored = await self._repository.all()
        # One that began earlier and ended later would bring back what was there before.
        if number > self._read_applied:
            self._read_applied = number
            self._take({setting.name: setting for setting in stored})
        assert self._known is not None
        return self._known

    def _take(self, stored: dict[str, StoredSetting]) -> None:
        if self._known is not None and stored == self._stored:
            return
        values = self._defaults
        for name, setting in stored.items():
            if setting.value is None or name not in SecurityValues.names():  # the latter is a newer version's
                continue
            try:
                values = values.changed({name: setting.value})
            except ValueError as error:
                self._telemetry.log.error(  # noqa: TRY400 - what is wrong is in the text
                    "a kept security setting cannot be read: its default holds", setting=name, why=str(error)
                )
        self._known, self._stored = values, stored

    def _told(self) -> SecuritySettings:
        values, defaults = (self._known or self._defaults).texts(), self._defaults.texts()
        settings = []
        for name in SecurityValues.names():
            stored = self._stored.get(name)
            settings.append(
                SecuritySetting(
                    name=name,
                    value=values[name],
                    default=defaults[name],
                    changed_at=stored.changed_at if stored is not None else None,
                    changed_by=stored.changed_by if stored is not None else None,
                )
            )
        return SecuritySettings(settings=settings, default_region=self._default_region)


def _invalid(problem: str) -> Error:
    return Error(ErrorCode.INVALID_REQUEST, problem, detail={"problem": problem})
