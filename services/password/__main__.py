"""The password service, put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.password import common_passwords
from services.password.domain.hasher import Hasher
from services.password.domain.policy import Policy
from services.password.repository import PasswordRepository
from services.password.service import PasswordService
from services.password.settings import PasswordSettings
from shared.bus.outbox import Outbox, OutboxRelay
from shared.contracts.identity import UserDeleted
from shared.contracts.password import CheckPasswordPolicy, ImportPasswordHash, SetPassword, VerifyPassword
from shared.hashing import HashPool
from shared.postgres import Database
from shared.process import Component, Kit, background, run

_BESIDE_THE_POOL = 8
"""Calls taken from the broker beyond those the pool holds: on their way to or from PostgreSQL, or about to be refused.

A smaller prefetch would leave the surplus at the broker, where nobody could say `overloaded` and callers would wait
until their time is over; a larger one would let one replica refuse what another is free to do.
"""


@asynccontextmanager
async def open_password(settings: PasswordSettings, kit: Kit) -> AsyncIterator[None]:
    """Serve while inside; leaving it answers what was begun and finishes the rehashes."""
    hasher = Hasher(
        memory_kib=settings.memory_kib,
        time_cost=settings.time_cost,
        parallelism=settings.parallelism,
        entropy=kit.entropy,
    )
    policy = Policy(settings.min_length, common_passwords.load())
    outbox = Outbox("password", kit.entropy)
    async with (
        Database(settings.postgres_url.get_secret_value(), name="password") as database,
        HashPool(settings.workers, settings.queue) as pool,
        PasswordService(
            PasswordRepository(database, outbox, kit.clock), hasher, pool, policy, kit.telemetry
        ) as service,
    ):
        pool.measure(kit.telemetry.registry)
        bus = kit.bus(settings, prefetch=pool.workers + settings.queue + _BESIDE_THE_POOL)
        bus.serve(
            {
                VerifyPassword: service.verify,
                SetPassword: service.set,
                CheckPasswordPolicy: service.check_policy,
                ImportPasswordHash: service.import_hash,
            }
        )
        bus.subscribe({UserDeleted: service.on_user_deleted})
        kit.health.add("postgres", lambda: database.check_writable("password"))
        relay = OutboxRelay("password", database, bus, outbox, kit.clock, kit.telemetry)
        async with background(asyncio.create_task(relay.run())), bus:
            yield


COMPONENT = Component(PasswordSettings, open_password, stands_back=True)

if __name__ == "__main__":
    run([COMPONENT])
