"""What `identity` tells of settings, as far as it is the gateway's: the limits, and by what names they count."""

import asyncio
from collections.abc import Callable

from shared import context
from shared.bus.bus import Bus
from shared.contracts.identity import GetSecuritySettings
from shared.errors import Error
from shared.telemetry import Telemetry

_POLL_SECONDS = 0.5
_ANSWER_SECONDS = 1.0


class SecuritySettingsFollower:
    """Asks `identity` twice a second, so that a change holds here within a second.

    While it does not answer, and when what is set cannot be read, what held before goes on; the log and the metric
    `dragoman_security_settings_stale` say so.
    """

    def __init__(
        self,
        bus: Bus,
        own_limits: str,
        take_limits: Callable[[str], None],
        take_region: Callable[[str], None],
        telemetry: Telemetry,
    ) -> None:
        """`take_limits` puts limits into force, or raises ValueError; `own_limits` hold while none are set.

        `take_region` is told the country of phone numbers without a country code.
        """
        self._bus = bus
        self._own_limits = own_limits
        self._take_limits = take_limits
        self._take_region = take_region
        self._telemetry = telemetry
        self._limits = ""
        self._unheard: str | None = None
        self._unread = False

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._look()
            except Error as error:
                self._tell(error.message)
            except Exception as error:
                self._telemetry.log.exception("following the security settings failed")
                self._tell(type(error).__name__)
            else:
                self._tell(None)
            await asyncio.sleep(_POLL_SECONDS)

    async def _look(self) -> None:
        with context.request(context.request_id(), _ANSWER_SECONDS):
            told = await self._bus.call(GetSecuritySettings())
        if told.default_region is not None:  # an earlier version does not tell it
            self._take_region(told.default_region)
        limits = next((setting.value for setting in told.settings if setting.name == "limits"), "")
        if limits == self._limits:
            return
        self._limits = limits
        try:
            self._take_limits(limits or self._own_limits)
        except ValueError as error:
            self._unread = True
            reason = str(error)
            self._telemetry.log.error("limits that cannot be read: those before go on", reason=reason)  # noqa: TRY400
        else:
            self._unread = False
            self._telemetry.log.info("limits changed", limits=limits or "the gateway's own")

    def _tell(self, problem: str | None) -> None:
        if problem is not None and self._unheard is None:
            self._telemetry.log.warning("security settings are not heard: those before go on", reason=problem)
        elif problem is None and self._unheard is not None:
            self._telemetry.log.info("security settings are heard again")
        self._unheard = problem
        self._telemetry.security_settings_stale.set(int(problem is not None or self._unread))
