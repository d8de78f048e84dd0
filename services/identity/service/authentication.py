"""Who somebody is: an identifier and a secret in, a user or what else it takes out."""

from services.identity.domain import accounts
from services.identity.domain.challenges import Proof, required_factor
from services.identity.repository.users import NewFactors, UserRepository
from services.identity.service.attempts import Attempt, Attempts
from services.identity.service.challenges import ChallengeService
from services.identity.service.codes import CodeService
from services.identity.service.passwords import PasswordService
from services.identity.service.second_factors import METHODS, SecondFactorProver, second_factor_required
from services.identity.service.security_settings import SecuritySettingsService
from services.identity.settings import IdentitySettings
from shared import identifiers
from shared.clock import Clock
from shared.contracts import identity as contract
from shared.contracts.identity import Authentication, User
from shared.entropy import Entropy
from shared.errors import Error, ErrorCode
from shared.identifiers import Identifier


class AuthenticationService:
    """Recognises users by what they prove."""

    def __init__(
        self,
        settings: IdentitySettings,
        security: SecuritySettingsService,
        users: UserRepository,
        attempts: Attempts,
        codes: CodeService,
        passwords: PasswordService,
        prover: SecondFactorProver,
        challenges: ChallengeService,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._settings = settings
        self._security = security
        self._users = users
        self._attempts = attempts
        self._codes = codes
        self._passwords = passwords
        self._prover = prover
        self._challenges = challenges
        self._clock = clock
        self._entropy = entropy

    async def authenticate(self, call: contract.Authenticate) -> Authentication:
        """Recognise a user by a live code or a password, then by a second factor if they have one.

        Every failure takes the same steps: the attempt is counted for whatever the identifier is, a secret that may be
        a code is checked as one, and a password is verified for users who do not exist too, against a dummy hash.
        During a delay the same is done for nobody. A caller that tells `too_many_attempts` from a wrong password tells
        with it which names belong to one account; one that does not tells nothing, in time either.
        """
        asked_at = self._clock.now()
        identifier = identifiers.identifier(call.identifier, self._settings.default_region)
        if identifier is not None and identifier.kind == "id":
            identifier = None  # a name for operators: every token shows it
        user = await self._users.find(identifier) if identifier is not None else None
        account = accounts.of(identifier, call.identifier, user)

        async def recognise_nobody() -> None:
            if await self._may_be_code(call, identifier):
                await self._codes.is_live(accounts.nobody(account), "sign_in", call.secret.get_secret_value())
            await self._passwords.verify_nothing(call.secret)

        async with self._attempts.counted(
            account, source=call.source, without_redis=True, when_refused=recognise_nobody
        ) as attempt:
            user, method = await self._recognise(call, identifier, user, attempt)
            if user.state == "suspended":
                raise Error(ErrorCode.USER_SUSPENDED, "the user is suspended")
            proof = Proof(dialect=call.dialect, methods=(method,), proved_at=asked_at, new_password=call.new_password)
            admitted = await self._complete(call, user, proof, attempt)
            # Not what was counted for where a code has just made the user.
            attempt.signed_in = accounts.of_user(user.id) if admitted.challenge is None else None
        return admitted

    async def _recognise(
        self, call: contract.Authenticate, identifier: Identifier | None, user: User | None, attempt: Attempt
    ) -> tuple[User, str]:
        if identifier is not None and await self._may_be_code(call, identifier):
            attempt.require_shared()
            if await self._is_live_code(identifier, user, call.secret.get_secret_value(), attempt.known_source):
                return user or await self._create_by_code(identifier), "otp"
        matches = await self._passwords.matches(user.id if user is not None else None, call.secret)
        if user is None:
            raise Error(ErrorCode.NO_SUCH_USER, "nobody has that identifier")
        if not matches:
            raise Error(ErrorCode.WRONG_PASSWORD, "the password is wrong")
        return user, "pwd"

    async def _may_be_code(self, call: contract.Authenticate, identifier: Identifier | None) -> bool:
        secret = call.secret.get_secret_value()
        return call.accept_code and identifier is not None and await self._codes.may_be_sign_in_code(secret)

    async def _is_live_code(self, identifier: Identifier, user: User | None, secret: str, source: str | None) -> bool:
        account = accounts.of(identifier, identifier.value, user)
        if user is not None and user.state == "suspended":
            account = accounts.nobody(account)
        live = await self._codes.is_live(account, "sign_in", secret, source)
        return live and (user is not None or (await self._security.values()).allow_new_users)

    async def _create_by_code(self, identifier: Identifier) -> User:
        now = self._clock.now()
        user = User(id=self._entropy.uuid(), created_at=now, **{identifier.kind: identifier.value})
        try:
            return await self._users.insert(user, NewFactors(), contract.UserCreated(user_id=user.id, created_at=now))
        except Error as error:
            existing = await self._users.find(identifier) if error.code == ErrorCode.CONFLICT else None
            if existing is None:
                raise
            return existing

    async def _complete(
        self, call: contract.Authenticate, user: User, proof: Proof, attempt: Attempt
    ) -> Authentication:
        """Ask for what is missing, or admit: first the second factor, then the new password."""
        factor = required_factor(user)
        if factor is not None and call.second_factor == "refuse":
            raise second_factor_required(factor)
        if factor is not None or (user.state == "must_change_password" and call.new_password):
            attempt.require_shared()
        if factor is not None and call.second_factor == "challenge":
            return await self._challenges.ask_second_factor(user, proof, factor)
        if factor is not None:
            code = call.code.get_secret_value() if call.code is not None else ""
            if not code:
                if factor == "email":
                    await self._prover.send(user)
                raise second_factor_required(factor)
            await self._prover.prove(user, factor, code, attempt.known_source)
            proof = proof.model_copy(update={"factor": factor, "methods": (*proof.methods, *METHODS[factor])})
        return await self._challenges.admit(user, proof)
