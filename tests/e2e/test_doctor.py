"""`dragoman doctor` on a whole platform: nothing to say of a sound one, and the right thing of each fault."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import aio_pika
import pytest

from deploy.running.components import program
from deploy.running.environment import with_user
from shared.bus import topology
from shared.settings import environment
from tests.conftest import PASSWORD
from tests.support.platform import ROOT, Platform, owner_of
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(180)

_RUN_SECONDS = 60.0
_LATE_EVENT = """
INSERT INTO otp.outbox (id, subject, body, request_id, due_at, created_at) VALUES
(gen_random_uuid(), 'otp.delivery_requested.v1', '', 'late', now() + interval '1 hour', now() - interval '2 minutes')
"""


@dataclass(frozen=True)
class Told:
    """How the command ended and what it said."""

    status: int
    findings: list[dict[str, str]]

    def of(self, state: str) -> set[tuple[str, str]]:
        """What is in this state, by area and what was checked."""
        return {(found["area"], found["checked"]) for found in self.findings if found["state"] == state}


async def doctor(platform: Platform, **changed: str) -> Told:
    """Run it with the platform's environment, changed as asked."""
    process = await asyncio.create_subprocess_exec(
        program("dragoman"),
        "doctor",
        "--json",
        cwd=ROOT,
        env={"PATH": environment().get("PATH", "")} | platform.environment | changed,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), _RUN_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert PASSWORD not in out.decode() + err.decode()
    assert err == b""
    assert process.returncode is not None
    return Told(process.returncode, json.loads(out)["findings"])


@pytest.fixture
async def sound(platform: Platform) -> Platform:
    """The module's platform with one replica of each."""
    await platform.bring(1)
    return platform


async def test_nothing_is_wrong_with_a_sound_platform(sound: Platform) -> None:
    """Every part is looked at, and found as it should be; the status is 0."""
    told = await doctor(sound)
    assert told.of("problem") | told.of("warning") == set(), told.findings
    assert told.status == 0
    areas = {area for area, _ in told.of("ok")}
    looked_at = "settings rabbitmq queues permissions keys postgresql clock migrations rights outbox redis delivery"
    assert areas == set(looked_at.split())
    assert told.of("skipped") == {("delivery", "sms")}


async def test_a_service_without_a_replica_is_told(sound: Platform) -> None:
    """The queues of a service that has gone are problems, and the others are not."""
    await asyncio.to_thread(sound.end, "otp")

    async def forgotten() -> Told | None:  # the broker keeps the queue for some seconds, in case it comes back
        told = await doctor(sound)
        return told if ("queues", "otp calls") in told.of("problem") else None

    told = await eventually(forgotten, 30.0, "the doctor misses otp")
    assert told.of("problem") == {("queues", "otp calls"), ("queues", "otp events")}
    assert told.status == 1


async def test_broker_users_with_other_rights_than_the_contracts_say(sound: Platform) -> None:
    """A user that may do more than its component, or less, is a problem; one that is refused as well."""
    url = sound.environment["DRAGOMAN_GATEWAY_RABBITMQ_URL"]
    told = await doctor(
        sound,
        DRAGOMAN_GATEWAY_RABBITMQ_URL=with_user(url, "admin", PASSWORD),
        DRAGOMAN_TOKEN_RABBITMQ_URL=with_user(url, "password", PASSWORD),
        DRAGOMAN_OTP_RABBITMQ_URL=with_user(url, "otp", "wrong"),
    )
    assert told.of("problem") == {("permissions", "gateway"), ("permissions", "token"), ("permissions", "otp")}
    found = {
        component: [f["found"] for f in told.findings if f["checked"] == component]
        for component in ("gateway", "token")
    }
    assert "may call otp, which no contract says" in found["gateway"]
    assert "may declare queues of any name" in found["gateway"]
    assert "may not call identity" in found["token"]


async def test_what_waits_in_the_database_and_the_broker_is_told(sound: Platform) -> None:
    """A schema that is behind is a problem; events that were parked, or wait for long, are warnings."""
    async with owner_of(sound) as database:
        stands_at = await database.fetchval("SELECT version_num FROM otp.migrations")
        await database.execute("UPDATE otp.migrations SET version_num = '0000'")
        await database.execute(_LATE_EVENT)
        async with _parked(sound, "otp"):
            told = await doctor(sound)
        await database.execute("UPDATE otp.migrations SET version_num = $1", stands_at)
        await database.execute("DELETE FROM otp.outbox WHERE request_id = 'late'")
    assert told.of("problem") == {("migrations", "otp")}
    assert told.of("warning") == {("outbox", "otp"), ("queues", "otp parked")}


async def test_mail_server_that_cannot_encrypt(sound: Platform) -> None:
    """A mail server without the encryption that is demanded is a problem: no code would leave."""
    told = await doctor(sound, DRAGOMAN_OTP_SMTP_TLS="starttls")
    assert told.of("problem") == {("delivery", "e-mail")}


async def test_a_database_that_takes_no_writes_and_a_role_with_too_many_rights(sound: Platform) -> None:
    """A read-only server is a problem; a service that is a superuser is a warning."""
    owner = urlsplit(sound.environment["DRAGOMAN_POSTGRES_URL"])
    read_only = urlunsplit(owner._replace(query="options=-c%20default_transaction_read_only%3Don"))
    told = await doctor(sound, DRAGOMAN_TOKEN_POSTGRES_URL=read_only, DRAGOMAN_OTP_POSTGRES_URL=urlunsplit(owner))
    assert told.of("problem") == {("postgresql", "writing")}
    assert told.of("warning") == {("rights", "otp")}


@asynccontextmanager
async def _parked(platform: Platform, service: str) -> AsyncIterator[None]:
    """One event in the dead-letter queue of `service` while inside."""
    admin = with_user(platform.environment["DRAGOMAN_GATEWAY_RABBITMQ_URL"], "admin", PASSWORD)
    async with await aio_pika.connect(admin) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(topology.dead_queue(service))
        await channel.default_exchange.publish(aio_pika.Message(b"{}"), queue.name, mandatory=True)
        try:
            yield
        finally:
            await queue.purge()
