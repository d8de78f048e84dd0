"""How many SMS may be sent, so that nobody earns by having them sent (SMS pumping, user-pains row 17).

Whoever gets a share of what messages to some numbers cost asks for codes to those numbers, and uses none of them.
Against that stand, all by the settings: the prefixes that messages go to at all; so many messages a day (UTC), in all
and to each country calling code; and a stop for a calling code of which too few codes were used of late.

What counts. A message counts when it is asked for, right before it is put into the outbox. A repeated request that
sends nothing does not count, a code sent again does. A code that is used counts as used once, for the last message that
brought it. Messages of the last `sms_ratio_window_seconds`, to a sixtieth of them, make the ratio, those included whose
code is about to be typed in: a sudden rush may stop a calling code, and the codes that come in then start it again.

Known and unknown. The message with a decoy, for somebody who may not have a code, is never sent and never counts, so
that guessing at numbers uses up nothing. It is refused whenever a real one would be, before anybody looks which of the
two it is; and a repeat of one that was accepted is accepted, of either kind. What a stranger can learn: the budget is
one message smaller after a real one. To see it, they have to bring the budget to its very last message, by having all
the others sent to numbers of their own while nobody else asks for one; that tells of one number for each calling code
and day. Where new users are welcome there are no decoys but for users who are suspended.
"""

import asyncio
from datetime import datetime, timedelta

from structlog.typing import FilteringBoundLogger

from services.otp.metrics import OtpMetrics
from services.otp.prefixes import calling_code
from services.otp.repository import SentSms
from services.otp.settings import OtpSettings
from services.otp.sms_counts import SmsCounts, SmsLimits, Stop
from shared.clock import Clock
from shared.errors import Error, ErrorCode

_REFRESH_SECONDS = 10.0


class SmsBudget:
    """Says whether an SMS may be sent."""

    def __init__(
        self, settings: OtpSettings, counts: SmsCounts, metrics: OtpMetrics, clock: Clock, log: FilteringBoundLogger
    ) -> None:
        self._settings = settings
        self._allowed = tuple(settings.sms_allowed_prefixes)
        self._window = timedelta(seconds=settings.sms_ratio_window_seconds)
        self._counts = counts
        self._metrics = metrics
        self._clock = clock
        self._log = log

    def to(self, number: str, now: datetime) -> SentSms:
        """The message to this number, to be counted by its calling code.

        Raises `invalid_request` with `detail.reason` "prefix" for numbers that no messages are sent to.
        """
        prefix = calling_code(number)
        if prefix is None or (self._allowed and not number.startswith(self._allowed)):
            self._metrics.sms_budget.labels(prefix or "none", "not_allowed").inc()
            message = "no messages are sent to numbers with this prefix"
            raise Error(ErrorCode.INVALID_REQUEST, message, detail={"field": "address", "reason": "prefix"})
        return SentSms(prefix, now)

    async def stop(self, sms: SentSms) -> Stop | None:
        """Why the message would be refused now; None when it would not. Raises `unavailable`."""
        return await self._admit(sms, count=False)

    async def spend(self, sms: SentSms, *, count: bool) -> None:
        """Take the message off the budget, or only act as if. Raises `overloaded`, `unavailable`."""
        stop = await self._admit(sms, count=count)
        if stop is not None:
            raise self.refusal(sms, stop)
        if count:
            self._metrics.sms_budget.labels(sms.prefix, "sent").inc()

    def refusal(self, sms: SentSms, stop: Stop) -> Error:
        """The answer to whoever asks for a message that may not be sent."""
        self._metrics.sms_budget.labels(sms.prefix, stop.reason).inc()
        message = f"no more messages to {sms.prefix} for now: {stop.reason}"
        return Error(ErrorCode.OVERLOADED, message, retry_after=stop.wait.total_seconds())

    async def used(self, sms: SentSms) -> None:
        """Note that the code of the message was used. It was, whether or not that can be noted."""
        self._metrics.sms_budget.labels(sms.prefix, "verified").inc()
        try:
            await self._counts.use(sms, self._window)
        except Error as error:
            self._log.warning("the use of a code is not counted", prefix=sms.prefix, reason=error.message)

    async def show(self) -> None:
        """Keep the gauges of the day's messages, which all replicas sent, up to date until cancelled."""
        while True:
            try:
                await self._show()
            except Error as error:
                self._log.debug("messages of today are not known", reason=error.message)
            except Exception:  # noqa: BLE001 - logged; whatever it is, the next look may succeed
                self._log.exception("showing the messages of today failed")
            await asyncio.sleep(_REFRESH_SECONDS)

    async def _show(self) -> None:
        today = await self._counts.today(self._clock.now())
        self._metrics.sms_sent_today.clear()
        self._metrics.sms_verified_today.clear()
        for prefix, counts in today.items():
            self._metrics.sms_sent_today.labels(prefix).set(counts.sent)
            self._metrics.sms_verified_today.labels(prefix).set(counts.used)

    async def _admit(self, sms: SentSms, *, count: bool) -> Stop | None:
        settings = self._settings
        limits = SmsLimits(
            daily=settings.sms_daily_limit,
            prefix_daily=settings.sms_prefix_limits.get(sms.prefix, settings.sms_prefix_daily_limit),
            ratio=settings.sms_min_verified_ratio,
            ratio_min_sent=settings.sms_ratio_min_sent,
            window=self._window,
        )
        stop = await self._counts.admit(sms, limits, count=count)
        if stop is not None and stop.first:
            wait = round(stop.wait.total_seconds())
            self._log.warning("no more sms for now", prefix=sms.prefix, reason=stop.reason, seconds=wait)
        return stop
