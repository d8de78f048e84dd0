"""Codes on their way: providers that fail, repeat, refuse, and what is left behind."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from hashlib import sha256

import asyncpg
import pytest
from prometheus_client import generate_latest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from deploy.inbox.faults import Faults
from services.otp.codes import Codes
from services.otp.repository import Claim, Deliveries
from services.otp.settings import OtpSettings
from shared.bus.outbox import Outbox
from shared.entropy import SystemEntropy
from shared.errors import Error, ErrorCode
from shared.postgres import Database
from shared.settings import decode_key
from tests.integration.otp.conftest import ACCOUNT, EMAIL, PHONE, Otp, Platform, code_in, other_than


async def test_a_mail_server_that_is_busy_gets_the_message_once(otp: Otp) -> None:
    """A temporary refusal (greylisting, for example) delays the code; it arrives once and works."""
    otp.platform.switch.set(Faults(smtp="tempfail"))
    await otp.issue()
    await otp.delivered("deferred", 2)
    otp.platform.switch.set(Faults())
    code = await otp.code()
    await otp.delivered("sent")
    assert len(otp.received()) == 1
    assert await otp.check(code) == "ok"
    (row,) = await _rows(otp)
    assert (row["state"], row["claimed_until"]) == ("sent", None)
    assert row["attempts"] >= 3


async def test_a_mail_server_that_is_down_gets_the_message_later(platform: Platform) -> None:
    """A code waits for a mail server that does not answer at all."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with platform.running(smtp_port=str(unused.getsockname()[1])) as otp:
            await otp.issue()
            await otp.delivered("deferred")
    async with platform.running() as otp:
        assert await otp.check(await otp.code()) == "ok"


async def test_a_refused_message_is_not_tried_again_and_the_next_request_sends_anew(otp: Otp) -> None:
    """After a refusal for good the person may ask again at once; the log names the reason, not the address."""
    otp.platform.switch.set(Faults(smtp="reject"))
    with capture_logs() as logs:
        await otp.issue()
        await otp.delivered("failed")
    (line,) = [line for line in logs if line["event"] == "code not delivered"]
    assert (line["to"], line["reason"]) == ("s***@example.com", "smtp 550 5.1.1")
    assert EMAIL not in str(logs)
    otp.platform.switch.set(Faults())
    await otp.issue()
    assert await otp.check(await otp.code()) == "ok"
    assert [row["state"] for row in await _rows(otp)] == ["failed", "sent"]


async def test_an_sms_that_the_provider_refuses_is_not_tried_again(otp: Otp) -> None:
    """A number that does not exist costs one attempt."""
    otp.platform.switch.set(Faults(sms="http400"))
    with capture_logs() as logs:
        await otp.issue(address=PHONE, channel="sms")
        await otp.delivered("failed", channel="sms")
    (line,) = [line for line in logs if line["event"] == "code not delivered"]
    assert (line["to"], line["reason"]) == ("+49*********78", "http 400, code 21211")


@pytest.mark.parametrize("fault", ["http500", "drop"])
async def test_an_sms_provider_in_trouble_gets_the_message_once(otp: Otp, fault: str) -> None:
    """A provider that fails, or whose answer is lost, is asked again, and the person gets one message."""
    otp.platform.switch.set(Faults.model_validate({"sms": fault}))
    await otp.issue(address=PHONE, channel="sms")
    await otp.delivered("deferred", channel="sms")
    otp.platform.switch.set(Faults())
    await otp.delivered("sent", channel="sms")
    (message,) = otp.received(PHONE)
    assert await otp.check(code_in(message)) == "ok"


async def test_a_mail_sent_twice_can_be_told_by_its_id(otp: Otp) -> None:
    """When the mail server's answer is lost the message comes again, as the same message with the same code."""
    otp.platform.switch.set(Faults(smtp="drop_after_data"))
    await otp.issue()
    await otp.delivered("deferred")
    otp.platform.switch.set(Faults())
    await otp.delivered("sent")
    messages = otp.received()
    assert len(messages) >= 2
    assert len({(message.id, code_in(message)) for message in messages}) == 1


async def test_a_repeated_event_is_not_sent_again(otp: Otp) -> None:
    """The broker may deliver an event twice; the person gets one message."""
    await otp.issue()
    await otp.delivered("sent")
    (row,) = await _rows(otp)
    async with _deliveries(otp.platform) as deliveries:
        now = otp.platform.clock.now()
        assert await deliveries.claim(row["event_id"], now, now + timedelta(seconds=15)) is None


async def test_two_replicas_never_send_at_once(otp: Otp) -> None:
    """Of two that get the same event one sends; the other waits until it is known, or the first is taken for dead."""
    otp.platform.switch.set(Faults(smtp="tempfail"))
    await otp.issue()
    await otp.delivered("deferred")
    (row,) = await _rows(otp)
    async with _deliveries(otp.platform) as deliveries:
        now, event_id = otp.platform.clock.now(), row["event_id"]
        tries = [deliveries.claim(event_id, now, now + timedelta(seconds=15)) for _ in range(5)]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        # `otp` itself tries too and may be the one.
        assert sum(isinstance(outcome, Claim) for outcome in outcomes) <= 1
        assert {outcome.code for outcome in outcomes if isinstance(outcome, Error)} == {ErrorCode.UNAVAILABLE}
    otp.platform.switch.set(Faults())
    otp.platform.clock.advance(15)
    await otp.delivered("sent")
    assert len(otp.received()) == 1


async def test_a_code_that_expired_on_its_way_is_not_sent(otp: Otp) -> None:
    """Nobody gets a code that is dead on arrival."""
    otp.platform.switch.set(Faults(smtp="tempfail"))
    await otp.issue()
    await otp.delivered("deferred")
    otp.platform.clock.advance(600)
    otp.platform.switch.set(Faults())
    await otp.delivered("expired")
    assert not otp.received()


async def test_a_code_that_was_replaced_on_its_way_is_not_sent(otp: Otp) -> None:
    """When the mail server is back, only the code that counts arrives."""
    otp.platform.switch.set(Faults(smtp="tempfail"))
    await otp.issue()
    await otp.delivered("deferred")
    otp.platform.clock.advance(61)
    await otp.issue()
    await otp.delivered("superseded")
    otp.platform.switch.set(Faults())
    await otp.delivered("sent")
    (message,) = otp.received()
    assert await otp.check(code_in(message)) == "ok"


async def test_redis_holds_nothing_readable(otp: Otp) -> None:
    """Whoever reads Redis finds neither a code nor whose it is, nor anything that a code follows from."""
    await otp.issue()
    await otp.issue(EMAIL, PHONE, "sms")
    codes = [await otp.code(), await otp.code(address=PHONE)]
    await otp.check(other_than(codes[0]))
    found = ""
    settings = OtpSettings.load(otp.platform.settings)
    async with Redis.from_url(settings.redis_url.get_secret_value(), decode_responses=True) as redis:
        keys = [key async for key in redis.scan_iter(match=f"{settings.redis_prefix}*")]
        for key in keys:
            kept = await (redis.hgetall(key) if await redis.type(key) == "hash" else redis.lrange(key, 0, -1))
            found += f"{key} {kept} "
            assert 0 < await redis.ttl(key) <= 48 * 3600
    assert len(keys) == 5
    for secret in (*codes, ACCOUNT, EMAIL, PHONE, "someone"):
        assert secret not in found
        assert sha256(secret.encode()).hexdigest() not in found


async def test_no_code_is_logged_or_counted(otp: Otp) -> None:
    """Neither the log nor the metrics know codes or addresses, whatever goes wrong."""
    with capture_logs() as logs:
        for faults in (Faults(smtp="tempfail"), Faults(smtp="reject"), Faults()):
            otp.platform.switch.set(faults)
            await otp.issue()
            await otp.delivered({"tempfail": "deferred", "reject": "failed", None: "sent"}[faults.smtp or None])
            otp.platform.clock.advance(61)
        code = await otp.code()
        for text in (other_than(code), code, code):
            await otp.check(text)
    seen = str(logs) + generate_latest(otp.kit.telemetry.registry).decode()
    settings = OtpSettings.load(otp.platform.settings)
    derived = [Codes(decode_key(settings.code_key), 6).code("sign_in", row["code_id"]) for row in await _rows(otp)]
    assert code in derived
    for secret in (*derived, EMAIL):
        assert secret not in seen


async def test_old_deliveries_are_forgotten(otp: Otp) -> None:
    """After a week a delivery leaves no trace; younger ones stay."""
    async with _deliveries(otp.platform) as deliveries, _connection(otp.platform) as connection:
        now = otp.platform.clock.now()
        await connection.execute(
            "INSERT INTO otp.deliveries (event_id, code_id, channel, target, state, requested_at) "
            "SELECT gen_random_uuid(), gen_random_uuid(), 'email', '', 'sent', $1::timestamptz - n * interval '1 hour' "
            "FROM generate_series(1, 2500) AS n",
            now,
        )
        await deliveries.forget_old(now)
        assert await connection.fetchval("SELECT count(*) FROM otp.deliveries") == 7 * 24


@asynccontextmanager
async def _connection(platform: Platform) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(platform.settings["DRAGOMAN_POSTGRES_URL"])
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def _deliveries(platform: Platform) -> AsyncIterator[Deliveries]:
    """A second replica's view of the deliveries."""
    async with Database(platform.settings["DRAGOMAN_POSTGRES_URL"], name="otp test") as database:
        yield Deliveries(database, Outbox("otp", SystemEntropy()))


async def _rows(otp: Otp) -> list[asyncpg.Record]:
    async with _connection(otp.platform) as connection:
        return await connection.fetch("SELECT * FROM otp.deliveries ORDER BY requested_at")
