"""Wiring of `token`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.token.client_authentication import ClientAuthentication
from services.token.domain.refresh_tokens import RefreshTokens
from services.token.domain.signing_keys import KeyWrapper
from services.token.housekeeping import keep_house
from services.token.key_ring import KeyRing
from services.token.repository.clients import ClientRepository
from services.token.repository.keys import KeyRepository
from services.token.repository.sessions import SessionRepository
from services.token.service import TokenService
from services.token.settings import TokenSettings
from shared.bus.outbox import Inbox, Outbox, OutboxRelay
from shared.contracts.identity import PasswordChanged, UserSuspended
from shared.contracts.token import (
    CreateClient,
    GetKeys,
    GrantClientCredentials,
    GrantPassword,
    GrantRefreshToken,
    ListClients,
    RotateClientSecret,
)
from shared.hashing import HashPool
from shared.postgres import Database
from shared.process import Component, Kit, background, run
from shared.settings import decode_key


@asynccontextmanager
async def open_token(settings: TokenSettings, kit: Kit) -> AsyncIterator[None]:
    """Run `token` while inside."""
    url = settings.postgres_url.get_secret_value()
    async with (
        Database(url, name="token", max_size=settings.pool_size) as database,
        HashPool(settings.hash_workers, settings.hash_queue) as pool,
    ):
        outbox = Outbox("token", kit.entropy)
        sessions = SessionRepository(database, outbox, Inbox("token"))
        clients = ClientRepository(database)
        wrapper = KeyWrapper(decode_key(settings.wrapping_key), kit.entropy)
        keys = KeyRing(KeyRepository(database, wrapper), kit.clock)
        bus = kit.bus(settings, prefetch=settings.prefetch)
        service = TokenService(
            settings=settings,
            clients=clients,
            sessions=sessions,
            keys=keys,
            authentication=ClientAuthentication(clients, pool, kit.clock, kit.entropy),
            refresh_tokens=RefreshTokens(decode_key(settings.refresh_key)),
            pool=pool,
            bus=bus,
            clock=kit.clock,
            entropy=kit.entropy,
        )
        bus.serve(
            {
                GrantClientCredentials: service.grant_client_credentials,
                GrantPassword: service.grant_password,
                GrantRefreshToken: service.grant_refresh_token,
                GetKeys: service.get_keys,
                CreateClient: service.create_client,
                RotateClientSecret: service.rotate_client_secret,
                ListClients: service.list_clients,
            }
        )
        bus.subscribe({UserSuspended: service.on_user_suspended, PasswordChanged: service.on_password_changed})
        relay = OutboxRelay("token", database, bus, outbox, kit.clock, kit.telemetry)
        kit.health.add("postgres", lambda: database.check_writable("token"))
        kit.health.add("signing_key", keys.check)
        async with (
            background(
                asyncio.create_task(relay.run()),
                asyncio.create_task(keep_house(sessions, relay, kit.clock, kit.telemetry)),
            ),
            bus,
        ):
            yield


COMPONENT = Component(TokenSettings, open_token)

if __name__ == "__main__":
    run([COMPONENT])
