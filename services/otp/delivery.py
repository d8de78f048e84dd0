"""The way of a code from the queue to its provider."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from services.otp import messages
from services.otp.codes import Codes
from services.otp.metrics import OtpMetrics
from services.otp.repository import Claim, Deliveries, Finished
from services.otp.senders import SEND_SECONDS, Refused, Sender
from shared.bus.dispatch import Delivery
from shared.clock import Clock
from shared.contracts.otp import Channel, DeliveryRequested
from shared.errors import Error, unavailable
from shared.telemetry import Telemetry

_CLAIM = timedelta(seconds=SEND_SECONDS + 5)
"""Longer than an attempt can take, so that two replicas never send at once; the claim of a dead one ends by itself."""

_CLEANING_SECONDS = 3600.0


class Deliverer:
    """Hands codes over, each delivery once.

    Twice only when the process dies, or loses the database, between the provider's answer and the note of it: then
    the repeat has the same Message-ID or idempotency token.
    """

    def __init__(
        self,
        codes: Codes,
        deliveries: Deliveries,
        senders: Mapping[Channel, Sender],
        metrics: OtpMetrics,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._codes = codes
        self._deliveries = deliveries
        self._senders = senders
        self._metrics = metrics
        self._clock = clock
        self._log = telemetry.log

    async def deliver(self, event: DeliveryRequested, delivery: Delivery) -> None:
        """Send the code of `event` unless that was done, or has become useless.

        Raises `unavailable` when a later attempt may do better.
        """
        now = self._clock.now()
        claim = await self._deliveries.claim(delivery.id, now, now + _CLAIM)
        if claim is None:  # withheld, or a repeat
            self._metrics.deliveries.labels(event.channel, "skipped").inc()
            return
        try:
            state, detail = await self._attempt(event, delivery.id, claim)
        except Error as error:
            self._metrics.deliveries.labels(event.channel, "deferred").inc()
            await self._deliveries.release(delivery.id, error.message)
            raise
        now = self._clock.now()
        await self._deliveries.finish(delivery.id, state, detail, now)
        self._metrics.deliveries.labels(event.channel, state).inc()
        if state == "sent":
            seconds = (now - claim.requested_at).total_seconds()
            self._metrics.delivery_seconds.labels(event.channel).observe(max(0.0, seconds))
        if state == "failed":
            to = messages.masked(event.address)
            self._log.warning("code not delivered", channel=event.channel, to=to, reason=detail)

    async def _attempt(self, event: DeliveryRequested, delivery_id: UUID, claim: Claim) -> tuple[Finished, str]:
        left = event.expires_at - self._clock.now()
        if left <= timedelta(0):
            return "expired", ""
        if claim.superseded:
            return "superseded", ""
        sender = self._senders.get(event.channel)
        if sender is None:
            raise unavailable(f"codes by {event.channel} are not set up")
        code = self._codes.code(event.purpose, event.code_id)
        if event.link is not None:
            text = messages.link_text(event.link.replace(messages.CODE_PLACE, code), left)
        else:
            text = messages.text(event.purpose, event.channel, code, left)
        try:
            await sender.send(delivery_id, event.address, text)
        except Refused as refusal:
            return "failed", refusal.reason
        return "sent", ""

    async def forget_old(self) -> None:
        """Remove old deliveries every hour until cancelled."""
        while True:
            try:
                await self._deliveries.forget_old(self._clock.now())
            except Error as error:
                self._log.warning("old deliveries stay", reason=error.message)
            except Exception:  # noqa: BLE001 - logged; whatever it is, the next round may succeed
                self._log.exception("removing old deliveries failed")
            await asyncio.sleep(_CLEANING_SECONDS)
