"""Wiring of `token`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from services.token.announcer import Announcer
from services.token.client_authentication import ClientAuthentication
from services.token.domain.refresh_tokens import RefreshTokens
from services.token.domain.signing_keys import KeyWrapper
from services.token.housekeeping import keep_house
from services.token.key_ring import KeyRing
from services.token.metrics import measure_signing_key
from services.token.repository.clients import ClientRepository
from services.token.repository.keys import KeyRepository
from services.token.repository.revocations import RevocationRepository
from services.token.repository.sessions import SessionRepository
from services.token.service.clients import ClientService
from services.token.service.grants import GrantService
from services.token.service.keys import KeyService
from services.token.service.revocation import RevocationService
from services.token.service.sign_in import SignInService
from services.token.settings import LONGEST_ACCESS_SECONDS, TokenSettings
from services.token.token_issuer import TokenIssuer
from shared.bus.outbox import Inbox, Outbox, OutboxRelay
from shared.contracts import identity, password
from shared.contracts.token import (
    ContinueSignIn,
    CreateClient,
    EndSession,
    GetKeys,
    GetRevocations,
    GrantClientCredentials,
    GrantPassword,
    GrantRefreshToken,
    IntrospectToken,
    ListClients,
    ListSigningKeys,
    RetireSigningKey,
    Revoke,
    RevokeSigningKey,
    RevokeToken,
    RewrapSigningKeys,
    RotateClientSecret,
    RotateSigningKey,
    SignIn,
    SignInWithProvider,
    WithdrawClientSecrets,
)
from shared.hashing import HashPool
from shared.postgres import Database
from shared.process import Component, Kit, background, run
from shared.revocations import open_stream
from shared.settings import decode_key

_CLOCKS_DIFFER = timedelta(minutes=5)


@asynccontextmanager
async def open_token(settings: TokenSettings, kit: Kit) -> AsyncIterator[None]:
    """Run `token` while inside."""
    url = settings.postgres_url.get_secret_value()
    life = timedelta(seconds=LONGEST_ACCESS_SECONDS) + _CLOCKS_DIFFER
    async with (
        Database(url, name="token", max_size=settings.pool_size) as database,
        HashPool(settings.hash_workers, settings.hash_queue) as pool,
        open_stream(settings.redis_url, settings.redis_prefix) as stream,
    ):
        outbox = Outbox("token", kit.entropy)
        revocations = RevocationRepository(database, life)
        sessions = SessionRepository(database, outbox, Inbox("token"), revocations)
        clients = ClientRepository(database, outbox, revocations)
        previous = decode_key(settings.wrapping_key_previous)
        wrapper = KeyWrapper(decode_key(settings.wrapping_key), kit.entropy, previous)
        keys = KeyRing(KeyRepository(database), wrapper, kit.clock, life, kit.telemetry)
        measure_signing_key(keys, kit.telemetry.registry)
        pool.measure(kit.telemetry.registry)
        refresh_tokens = RefreshTokens(decode_key(settings.refresh_key), decode_key(settings.refresh_key_previous))
        authentication = ClientAuthentication(clients, pool, kit.clock, kit.entropy)
        bus = kit.bus(settings, prefetch=settings.prefetch)
        policies = settings.policies()
        issuer = TokenIssuer(settings.issuer, settings.audience, policies, keys, refresh_tokens, kit.clock, kit.entropy)
        grace = timedelta(seconds=settings.refresh_grace_seconds)
        granting = GrantService(policies, grace, sessions, keys, authentication, refresh_tokens, issuer, bus, kit.clock)
        signing_in = SignInService(policies, sessions, authentication, issuer, bus, kit.clock, kit.entropy)
        registering = ClientService(clients, pool, kit.clock, kit.entropy)
        revoking = RevocationService(
            settings.issuer, sessions, revocations, keys, authentication, refresh_tokens, kit.clock
        )
        key_keeping = KeyService(keys, sessions, wrapper, kit.clock, timedelta(seconds=settings.key_publish_seconds))
        bus.serve(
            {
                GrantClientCredentials: granting.grant_client_credentials,
                GrantPassword: signing_in.grant_password,
                GrantRefreshToken: granting.grant_refresh_token,
                SignIn: signing_in.sign_in,
                SignInWithProvider: signing_in.sign_in_with_provider,
                ContinueSignIn: signing_in.continue_sign_in,
                EndSession: revoking.end_session,
                GetKeys: granting.get_keys,
                RevokeToken: revoking.revoke_token,
                IntrospectToken: revoking.introspect_token,
                GetRevocations: revoking.get_revocations,
                Revoke: revoking.revoke,
                CreateClient: registering.create_client,
                RotateClientSecret: registering.rotate_client_secret,
                WithdrawClientSecrets: registering.withdraw_client_secrets,
                ListClients: registering.list_clients,
                ListSigningKeys: key_keeping.list_signing_keys,
                RotateSigningKey: key_keeping.rotate_signing_key,
                RetireSigningKey: key_keeping.retire_signing_key,
                RevokeSigningKey: key_keeping.revoke_signing_key,
                RewrapSigningKeys: key_keeping.rewrap_signing_keys,
            }
        )
        bus.subscribe(
            {
                identity.UserSuspended: revoking.on_user_suspended,
                identity.UserDeleted: revoking.on_user_deleted,
                identity.PasswordChanged: revoking.on_password_changed,
                password.PasswordChanged: revoking.on_password_changed,
            }
        )
        relay = OutboxRelay("token", database, bus, outbox, kit.clock, kit.telemetry)
        kit.health.add("postgres", lambda: database.check_writable("token"))
        kit.health.add("signing_key", keys.check)
        tasks = [
            asyncio.create_task(relay.run()),
            asyncio.create_task(keep_house(sessions, revocations, relay, keys, kit.clock, kit.telemetry)),
        ]
        if stream is not None:
            announcer = Announcer(revocations, stream, life, kit.clock, kit.entropy, kit.telemetry)
            tasks.append(asyncio.create_task(announcer.run()))
        async with background(*tasks), bus:
            yield


COMPONENT = Component(TokenSettings, open_token)

if __name__ == "__main__":
    run([COMPONENT])
