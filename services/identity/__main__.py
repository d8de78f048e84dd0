"""Wiring of `identity`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.identity.repository import UserRepository
from services.identity.service import IdentityService
from services.identity.settings import IdentitySettings
from shared.bus.outbox import Outbox, OutboxRelay
from shared.contracts.identity import (
    Authenticate,
    CreateUser,
    DeleteUser,
    GetUser,
    ListUsers,
    SendCode,
    SuspendUser,
)
from shared.postgres import Database
from shared.process import Component, Kit, background, run


@asynccontextmanager
async def open_identity(settings: IdentitySettings, kit: Kit) -> AsyncIterator[None]:
    """Run `identity` while inside."""
    url = settings.postgres_url.get_secret_value()
    async with Database(url, name="identity", max_size=settings.pool_size) as database:
        outbox = Outbox("identity", kit.entropy)
        bus = kit.bus(settings, prefetch=settings.prefetch)
        service = IdentityService(settings, UserRepository(database, outbox), bus, kit.clock, kit.entropy)
        bus.serve(
            {
                Authenticate: service.authenticate,
                SendCode: service.send_code,
                CreateUser: service.create_user,
                SuspendUser: service.suspend_user,
                DeleteUser: service.delete_user,
                GetUser: service.get_user,
                ListUsers: service.list_users,
            }
        )
        relay = OutboxRelay("identity", database, bus, outbox, kit.clock, kit.telemetry)
        kit.health.add("postgres", lambda: database.check_writable("identity"))
        async with background(asyncio.create_task(relay.run())), bus:
            yield


COMPONENT = Component(IdentitySettings, open_identity)

if __name__ == "__main__":
    run([COMPONENT])
