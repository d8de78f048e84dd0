"""Signing in through an external provider: on the way there, and back."""

from pydantic import SecretStr

from services.identity.domain import accounts
from services.identity.domain.challenges import Proof, required_factor
from services.identity.domain.provider_states import LIFE, STATE_BYTES, PendingSignIn, ProviderStates, encoded
from services.identity.domain.providers import Person, ProviderLink
from services.identity.metrics import ProviderMetrics
from services.identity.providers.client import ProviderClient
from services.identity.repository.provider_states import ProviderStateRepository
from services.identity.repository.providers import ProviderRepository
from services.identity.repository.users import NewFactors, UserRepository
from services.identity.service.attempts import Attempts
from services.identity.service.challenges import ChallengeService
from services.identity.service.security_settings import SecuritySettingsService
from shared import identifiers
from shared.clock import Clock
from shared.contracts import providers as contract
from shared.contracts.identity import Authentication, User, UserCreated
from shared.contracts.providers import Provider, ProviderRedirect
from shared.entropy import Entropy
from shared.errors import Error, ErrorCode, unavailable
from shared.identifiers import Identifier
from shared.telemetry import Telemetry

_METHODS = ("fed",)
"""Somebody else has recognised the user; how, only they know."""

_TRIES = 3
"""How often to look who somebody is, when they become somebody at this very moment in another sign-in."""


class ProviderSignInService:
    """Sends browsers to providers, and recognises who comes back.

    Nothing here counts failed attempts: a state, a browser's secret and a code cannot be guessed, and an attempt costs
    the state whatever comes of it.
    """

    def __init__(
        self,
        providers: ProviderRepository,
        pending: ProviderStateRepository,
        states: ProviderStates,
        client: ProviderClient,
        users: UserRepository,
        security: SecuritySettingsService,
        attempts: Attempts,
        challenges: ChallengeService,
        metrics: ProviderMetrics,
        clock: Clock,
        entropy: Entropy,
        telemetry: Telemetry,
    ) -> None:
        self._providers = providers
        self._pending = pending
        self._states = states
        self._client = client
        self._users = users
        self._security = security
        self._attempts = attempts
        self._challenges = challenges
        self._metrics = metrics
        self._clock = clock
        self._entropy = entropy
        self._telemetry = telemetry

    async def begin_provider_sign_in(self, call: contract.BeginProviderSignIn) -> ProviderRedirect:
        """The provider's page, with a new state that only this browser can come back with."""
        provider = await self._providers.get(call.provider)
        if provider is None:
            raise Error(ErrorCode.NOT_FOUND, "there is no provider of that name")
        state = encoded(self._entropy.token_bytes(STATE_BYTES))
        try:
            url = await self._client.authorization_url(
                provider,
                callback_url=call.callback_url,
                state=state,
                nonce=self._states.nonce(state),
                code_verifier=self._states.code_verifier(state),
            )
        except Error as error:
            self._tell(provider, error)
            raise
        pending = PendingSignIn(
            provider=provider.name,
            dialect=call.dialect,
            callback_url=call.callback_url,
            browser=self._states.browser(state, call.browser.get_secret_value()),
            expires_at=self._clock.now() + LIFE,
        )
        await self._pending.create(state, pending)
        return ProviderRedirect(url=SecretStr(url))

    async def authenticate_by_provider(self, call: contract.AuthenticateByProvider) -> Authentication:
        """Recognise who came back: first that it is the browser that went, then what the provider says."""
        asked_at = self._clock.now()
        state = call.state.get_secret_value()
        pending = await self._pending.take(state, asked_at, self._entropy.uuid())
        if pending is None or (pending.provider, pending.dialect) != (call.provider, call.dialect):
            raise _refused("there is no such state (any more)")
        if not self._states.is_browser(state, call.browser.get_secret_value(), pending.browser):
            raise _refused("another browser has begun this sign-in")
        provider = await self._providers.get(call.provider)
        if provider is None:
            raise _refused("the provider is gone")
        try:
            proof = Proof(dialect=call.dialect, methods=_METHODS, proved_at=asked_at)
            admitted = await self._recognise(call, provider, pending, proof)
        except Error as error:
            self._tell(provider, error)
            self._metrics.sign_ins.labels(provider.name, error.code).inc()
            raise
        outcome = "signed_in" if admitted.challenge is None else "challenged"
        self._metrics.sign_ins.labels(provider.name, outcome).inc()
        return admitted

    async def _recognise(
        self, call: contract.AuthenticateByProvider, provider: Provider, pending: PendingSignIn, proof: Proof
    ) -> Authentication:
        state = call.state.get_secret_value()
        person = await self._client.redeem(
            provider,
            code=call.code.get_secret_value(),
            issuer=call.issuer,
            callback_url=pending.callback_url,
            nonce=self._states.nonce(state),
            code_verifier=self._states.code_verifier(state),
        )
        user = await self._user_of(provider, person)
        if user.state == "suspended":
            raise Error(ErrorCode.USER_SUSPENDED, "the user is suspended")
        factor = required_factor(user)
        if factor is not None:
            return await self._challenges.ask_second_factor(user, proof, factor)
        admitted = await self._challenges.admit(user, proof)
        await self._attempts.signed_in(accounts.of_user(user.id), call.source)
        return admitted

    async def _user_of(self, provider: Provider, person: Person) -> User:
        for _ in range(_TRIES):
            try:
                return await self._find_or_create(provider, person)
            except Error as error:
                if error.code != ErrorCode.CONFLICT:
                    raise
        raise unavailable("who somebody is changes too fast")

    async def _find_or_create(self, provider: Provider, person: Person) -> User:
        """The user whom the provider has signed in before, or who has the address, or a new one.

        Raises `no_such_user` where nobody may become of it, `conflict` when that has changed meanwhile.
        """
        link = ProviderLink(provider.name, person.subject)
        linked = await self._users.find_linked(link)
        if linked is not None:
            return linked
        email = _address(person)
        if email is None:
            raise _nobody("the provider tells no verified e-mail address")
        user = await self._users.find(email)
        if user is None:
            return await self._create(provider, link, email)
        if not provider.trust_email:
            # Another first sign-in of the same person may have made the user and the link at this moment, both at once.
            linked = await self._users.find_linked(link)
            if linked is None:
                raise _nobody("the address is a user's, and the provider is not trusted for addresses")
            return linked
        if user.state != "suspended":
            await self._users.link(link, user.id, self._clock.now())
        return user

    async def _create(self, provider: Provider, link: ProviderLink, email: Identifier) -> User:
        security = await self._security.values()
        if not (provider.allow_new_users and security.allow_new_users):
            raise _nobody("no new users are allowed")
        now = self._clock.now()
        user = User(id=self._entropy.uuid(), created_at=now, email=email.value)
        factors = NewFactors(email=security.email_second_factor_default)
        return await self._users.insert(user, factors, UserCreated(user_id=user.id, created_at=now), link=link)

    def _tell(self, provider: Provider, error: Error) -> None:
        """For the operator, who alone can tell a provider that misbehaves from people who may not come in."""
        self._telemetry.log.warning(
            "a sign-in through a provider failed", provider=provider.name, code=error.code, reason=error.message
        )


def _address(person: Person) -> Identifier | None:
    try:
        return identifiers.email(person.email) if person.email is not None else None
    except Error:
        return None


def _refused(why: str) -> Error:
    return Error(ErrorCode.WRONG_PASSWORD, why)


def _nobody(why: str) -> Error:
    return Error(ErrorCode.NO_SUCH_USER, why)
