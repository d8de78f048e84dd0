"""Wiring of `identity`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

from aiohttp import ClientSession
from redis.asyncio import Redis

from services.identity.domain.failures import FailurePolicy, LocalFailures
from services.identity.domain.keys import Names
from services.identity.domain.provider_states import ProviderStates
from services.identity.domain.recovery_codes import RecoveryCodes
from services.identity.domain.security_settings import SecurityValues
from services.identity.domain.totp import NewSecrets, SecretBox
from services.identity.metrics import IdentityMetrics, ProviderMetrics
from services.identity.providers.check import ProviderCheck
from services.identity.providers.client import ProviderClient
from services.identity.providers.documents import Documents
from services.identity.providers.secrets import ProviderSecrets
from services.identity.providers.web import open_web
from services.identity.repository.challenges import ChallengeRepository
from services.identity.repository.failures import FailureRepository
from services.identity.repository.known_sources import KnownSources
from services.identity.repository.provider_states import ProviderStateRepository
from services.identity.repository.providers import ProviderRepository
from services.identity.repository.second_factors import SecondFactorRepository
from services.identity.repository.security_settings import SecuritySettingRepository
from services.identity.repository.users import UserRepository
from services.identity.service.attempts import Attempts
from services.identity.service.authentication import AuthenticationService
from services.identity.service.challenges import ChallengeService
from services.identity.service.codes import CodeService
from services.identity.service.passwords import PasswordService
from services.identity.service.provider_sign_in import ProviderSignInService
from services.identity.service.providers import ProviderService
from services.identity.service.rewrapping import RewrappingService
from services.identity.service.second_factors import SecondFactorProver, SecondFactorService
from services.identity.service.security_settings import SecuritySettingsService
from services.identity.service.users import UserService
from services.identity.settings import IdentitySettings
from shared.bus.outbox import Outbox, OutboxRelay
from shared.contracts.identity import (
    AnswerChallenge,
    Authenticate,
    ChangePassword,
    CreateUser,
    DeleteUser,
    DisableTotp,
    EnableTotp,
    GenerateTotp,
    GetSecuritySettings,
    GetUser,
    ListUsers,
    RequestPasswordReset,
    ResetPassword,
    RewrapSecrets,
    SendCode,
    SetSecondFactors,
    SetSecuritySetting,
    SuspendUser,
)
from shared.contracts.providers import (
    AddProvider,
    AuthenticateByProvider,
    BeginProviderSignIn,
    CheckProvider,
    ListProviders,
    RemoveProvider,
)
from shared.postgres import Database
from shared.process import Component, Kit, background, run
from shared.redis import Pause, check, open_redis
from shared.redis_scripts import RedisScripts
from shared.settings import decode_key

_REDIS_SECONDS = 0.5
"""Twice this, for a second try, is what a sign-in may lose to a Redis that hangs, of the five seconds that it has."""


@asynccontextmanager
async def open_identity(settings: IdentitySettings, kit: Kit) -> AsyncIterator[None]:
    """Run `identity` while inside."""
    url = settings.postgres_url.get_secret_value()
    async with (
        Database(url, name="identity", max_size=settings.pool_size) as database,
        open_redis(settings.redis_url.get_secret_value(), answer_seconds=_REDIS_SECONDS) as redis,
        RedisScripts(redis) as scripts,
        open_web() as http,
    ):
        clock, entropy, prefix = kit.clock, kit.entropy, settings.redis_prefix
        secret_key = decode_key(settings.secret_key)
        previous = decode_key(settings.secret_key_previous)
        names, box = Names(secret_key), SecretBox(secret_key, entropy, previous)
        new_secrets, recovery_codes = NewSecrets(secret_key, entropy, previous), RecoveryCodes(secret_key, previous)
        outbox = Outbox("identity", entropy)
        users = UserRepository(database, outbox)
        factors = SecondFactorRepository(database)
        open_challenges = ChallengeRepository(scripts, prefix, names, settings.challenge_attempts)
        bus = kit.bus(settings, prefetch=settings.prefetch)
        security = _security(settings, SecuritySettingRepository(database, outbox), kit)
        attempts = _attempts(settings, redis, scripts, names, kit)
        codes = CodeService(settings, security, users, bus)
        passwords = PasswordService(settings, users, attempts, codes, bus, clock, entropy)
        prover = SecondFactorProver(factors, box, recovery_codes, codes, bus, clock)
        challenges = ChallengeService(settings, users, open_challenges, attempts, prover, passwords, clock, entropy)
        recognising = AuthenticationService(
            settings, security, users, attempts, codes, passwords, prover, challenges, clock, entropy
        )
        second_factors = SecondFactorService(
            settings, users, factors, new_secrets, box, recovery_codes, prover, passwords, attempts, clock
        )
        rewrapping = RewrappingService(factors, box, recovery_codes, kit.telemetry)
        managing = UserService(settings, security, users, box, bus, clock, entropy)
        states, provider_repository = ProviderStates(secret_key), ProviderRepository(database)
        client, check_provider = _provider_client(settings, http, kit)
        providers = ProviderService(provider_repository, check_provider, clock, kit.telemetry)
        provider_sign_in = ProviderSignInService(
            provider_repository,
            ProviderStateRepository(redis, scripts, prefix, states),
            states,
            client,
            users,
            security,
            attempts,
            challenges,
            ProviderMetrics(kit.telemetry.registry),
            clock,
            entropy,
            kit.telemetry,
        )
        bus.serve(
            {
                Authenticate: recognising.authenticate,
                AnswerChallenge: challenges.answer_challenge,
                SendCode: codes.send_code,
                RequestPasswordReset: passwords.request_password_reset,
                ResetPassword: passwords.reset_password,
                ChangePassword: passwords.change_password,
                GenerateTotp: second_factors.generate_totp,
                EnableTotp: second_factors.enable_totp,
                DisableTotp: second_factors.disable_totp,
                SetSecondFactors: second_factors.set_second_factors,
                RewrapSecrets: rewrapping.rewrap_secrets,
                CreateUser: managing.create_user,
                SuspendUser: managing.suspend_user,
                DeleteUser: managing.delete_user,
                GetUser: managing.get_user,
                ListUsers: managing.list_users,
                GetSecuritySettings: security.get_security_settings,
                SetSecuritySetting: security.set_security_setting,
                AddProvider: providers.add_provider,
                RemoveProvider: providers.remove_provider,
                ListProviders: providers.list_providers,
                CheckProvider: providers.check_provider,
                BeginProviderSignIn: provider_sign_in.begin_provider_sign_in,
                AuthenticateByProvider: provider_sign_in.authenticate_by_provider,
            }
        )
        relay = OutboxRelay("identity", database, bus, outbox, clock, kit.telemetry)
        kit.health.add("postgres", lambda: database.check_writable("identity"))
        kit.health.add("redis", lambda: check(redis))
        async with background(asyncio.create_task(relay.run()), asyncio.create_task(security.follow())), bus:
            yield


def _security(settings: IdentitySettings, repository: SecuritySettingRepository, kit: Kit) -> SecuritySettingsService:
    defaults = SecurityValues(otp_enabled=settings.otp_enabled, allow_new_users=settings.allow_new_users)
    return SecuritySettingsService(defaults, settings.default_region, repository, kit.clock, kit.telemetry)


def _provider_client(settings: IdentitySettings, http: ClientSession, kit: Kit) -> tuple[ProviderClient, ProviderCheck]:
    secrets = ProviderSecrets(settings.provider_secrets)
    documents = Documents(http, asyncio.get_running_loop().time)
    client = ProviderClient(http, documents, secrets, settings.provider_seconds, kit.clock)
    return client, ProviderCheck(http, client, secrets, settings.provider_seconds)


def _policy(settings: IdentitySettings) -> FailurePolicy:
    return FailurePolicy(
        allowed=settings.failures_allowed,
        longest_delay=timedelta(seconds=settings.longest_delay_seconds),
        forget_after=timedelta(seconds=settings.forget_failures_seconds),
    )


def _attempts(settings: IdentitySettings, redis: Redis, scripts: RedisScripts, names: Names, kit: Kit) -> Attempts:
    policy, prefix = _policy(settings), settings.redis_prefix
    pause = Pause()
    failures = FailureRepository(redis, scripts, prefix, policy, pause)
    life = timedelta(days=settings.known_source_days)
    sources = KnownSources(redis, prefix, life, settings.known_sources, pause)
    # Stricter, since each replica counts for itself while Redis is away.
    local = LocalFailures(replace(policy, allowed=policy.allowed // 2))
    metrics = IdentityMetrics(kit.telemetry.registry)
    return Attempts(failures, local, sources, names, metrics, kit.clock, kit.entropy)


COMPONENT = Component(IdentitySettings, open_identity)

if __name__ == "__main__":
    run([COMPONENT])
