"""Wiring of `otp`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import ClientSession

from services.otp.codes import Codes
from services.otp.delivery import Deliverer
from services.otp.metrics import OtpMetrics
from services.otp.repository import CodeRecords, Deliveries
from services.otp.senders import Sender
from services.otp.service import OtpService
from services.otp.settings import OtpSettings
from services.otp.sms import SmsSender
from services.otp.sms_budget import SmsBudget
from services.otp.sms_counts import SmsCounts
from services.otp.smtp import SmtpSender
from shared.bus.outbox import Outbox, OutboxRelay
from shared.contracts.otp import Channel, CheckCode, DeliveryRequested, IssueCode
from shared.postgres import Database
from shared.process import Component, Kit, background, run
from shared.redis import check, open_redis
from shared.redis_scripts import RedisScripts
from shared.settings import decode_key

_REDIS_SECONDS = 0.5
"""Twice this, for a second try, is what a code may lose to a Redis that hangs, after others have lost as much to it."""


@asynccontextmanager
async def open_otp(settings: OtpSettings, kit: Kit) -> AsyncIterator[None]:
    """Run `otp` while inside."""
    async with (
        Database(settings.postgres_url.get_secret_value(), name="otp", max_size=settings.pool_size) as database,
        open_redis(settings.redis_url.get_secret_value(), answer_seconds=_REDIS_SECONDS) as redis,
        RedisScripts(redis) as scripts,
        ClientSession() as http,
    ):
        outbox = Outbox("otp", kit.entropy)
        codes = Codes(decode_key(settings.code_key), settings.code_digits)
        records = CodeRecords(scripts, settings.redis_prefix, settings.max_attempts)
        deliveries = Deliveries(database, outbox)
        senders = _senders(settings, kit, http)
        metrics = OtpMetrics(kit.telemetry.registry)
        counts = SmsCounts(redis, scripts, settings.redis_prefix)
        budget = SmsBudget(settings, counts, metrics, kit.clock, kit.telemetry.log)
        service = OtpService(settings, codes, records, deliveries, senders, budget, metrics, kit.clock, kit.entropy)
        deliverer = Deliverer(codes, deliveries, senders, metrics, kit.clock, kit.telemetry)
        bus = kit.bus(settings, prefetch=settings.prefetch, event_prefetch=settings.prefetch)
        bus.serve({IssueCode: service.issue_code, CheckCode: service.check_code})
        bus.subscribe({DeliveryRequested: deliverer.deliver})
        relay = OutboxRelay("otp", database, bus, outbox, kit.clock, kit.telemetry)
        kit.health.add("postgres", lambda: database.check_writable("otp"))
        kit.health.add("redis", lambda: check(redis))
        work = (relay.run(), deliverer.forget_old(), budget.show())
        async with background(*map(asyncio.create_task, work)), bus:
            yield


def _senders(settings: OtpSettings, kit: Kit, http: ClientSession) -> dict[Channel, Sender]:
    senders: dict[Channel, Sender] = {}
    if settings.smtp_host:
        senders["email"] = SmtpSender(settings, kit.clock)
    if settings.sms_url:
        senders["sms"] = SmsSender(settings, http)
    for channel in ("email", "sms"):
        if channel not in senders:
            kit.telemetry.log.warning("channel is off: codes that ask for it are refused", channel=channel)
    return senders


COMPONENT = Component(OtpSettings, open_otp)

if __name__ == "__main__":
    run([COMPONENT])
