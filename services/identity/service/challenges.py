"""Challenges: what has to be met before a right password counts, and meeting it."""

from datetime import timedelta
from uuid import UUID

from pydantic import SecretStr

from services.identity.domain import accounts
from services.identity.domain.challenges import OpenChallenge, Proof, required_factor
from services.identity.repository.challenges import ChallengeRepository
from services.identity.repository.users import UserRepository
from services.identity.service.attempts import UNDECIDED, Attempts
from services.identity.service.passwords import PasswordService, names_of, same_as_before
from services.identity.service.second_factors import METHODS, SecondFactorProver, second_factor_required
from services.identity.settings import IdentitySettings
from shared import identifiers
from shared.clock import Clock
from shared.contracts import identity as contract
from shared.contracts.identity import Authentication, Challenge, ChallengeKind, SecondFactor, User
from shared.entropy import Entropy
from shared.errors import Error, ErrorCode

_INSTANT = timedelta(microseconds=1)


class ChallengeService:
    """Makes challenges, and takes their answers."""

    def __init__(
        self,
        settings: IdentitySettings,
        users: UserRepository,
        challenges: ChallengeRepository,
        attempts: Attempts,
        prover: SecondFactorProver,
        passwords: PasswordService,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._settings = settings
        self._users = users
        self._challenges = challenges
        self._attempts = attempts
        self._prover = prover
        self._passwords = passwords
        self._clock = clock
        self._entropy = entropy

    async def ask_second_factor(self, user: User, proof: Proof, factor: SecondFactor) -> Authentication:
        """A challenge for a second factor; a code for it is on its way if it takes one."""
        if factor == "email":
            await self._prover.send(user)
        return await self._challenged(user, proof, "second_factor", factor)

    async def admit(self, user: User, proof: Proof) -> Authentication:
        """The user, or the challenge to set a new password. Raises `password_change_required` where none can be."""
        if user.state != "must_change_password":
            return Authentication(user=user, methods=list(proof.methods), proved_at=proof.proved_at)
        if not proof.new_password:
            raise Error(ErrorCode.PASSWORD_CHANGE_REQUIRED, "the password must be changed first")
        return await self._challenged(user, proof, "new_password", None)

    async def _challenged(
        self, user: User, proof: Proof, kind: ChallengeKind, factor: SecondFactor | None
    ) -> Authentication:
        token = self._entropy.uuid()
        life = timedelta(seconds=self._settings.challenge_seconds)
        expires_at = self._clock.now() + life
        waiting = OpenChallenge(kind=kind, user_id=user.id, proof=proof, expires_at=expires_at, factor=factor)
        await self._challenges.create(token, waiting, life)
        return Authentication(
            user=user,
            methods=list(proof.methods),
            challenge=Challenge(kind=kind, token=SecretStr(str(token)), factor=factor, expires_at=expires_at),
            proved_at=proof.proved_at,
        )

    async def answer_challenge(self, call: contract.AnswerChallenge) -> Authentication:
        """Meet a challenge. Whatever was true of the user when it was made is looked at again."""
        token = _token(call.token.get_secret_value())
        challenge = await self._challenges.attempt(token, self._clock.now())
        if challenge is None or (challenge.kind, challenge.proof.dialect) != (call.kind, call.dialect):
            raise _unknown()
        user = await self._holder(challenge, call.identifier)
        if challenge.kind == "second_factor":
            return await self._prove_factor(token, challenge, user, call)
        return await self._set_password(token, challenge, user, call)

    async def _holder(self, challenge: OpenChallenge, identifier: str | None) -> User:
        """The challenge's user, who may still sign in, by the same password. Raises `challenge_unknown`."""
        user = await self._users.get(challenge.user_id)
        if user is None or user.state == "suspended":
            raise _unknown()
        if identifier is not None:
            named = identifiers.identifier(identifier, self._settings.default_region)
            found = await self._users.find(named) if named is not None else None
            if found is None or found.id != user.id:
                raise _unknown()
        changed_at = await self._users.password_changed_at(user.id)
        if changed_at is not None and changed_at > challenge.proof.proved_at:
            raise _unknown()
        return user

    async def _prove_factor(
        self, token: UUID, challenge: OpenChallenge, user: User, call: contract.AnswerChallenge
    ) -> Authentication:
        factor = required_factor(user)
        if factor is None or challenge.factor is None:  # turned off meanwhile: the password alone is asked for again
            raise _unknown()
        if factor != challenge.factor:
            await self._challenges.spend(token, self._entropy.uuid())
            raise second_factor_required(factor)

        async def give_back() -> None:
            await self._challenges.give_back(token)

        account = accounts.of_user(user.id)
        try:
            async with self._attempts.counted(account, source=call.source, when_refused=give_back) as attempt:
                code = call.code.get_secret_value() if call.code is not None else ""
                await self._prover.prove(user, factor, code, attempt.known_source)
                if not await self._challenges.spend(token, self._entropy.uuid()):
                    raise _unknown()
                methods = (*challenge.proof.methods, *METHODS[factor])
                proof = challenge.proof.model_copy(update={"factor": factor, "methods": methods})
                admitted = await self.admit(user, proof)
                attempt.signed_in = account if admitted.challenge is None else None
        except Error as error:
            if error.code in UNDECIDED:
                await give_back()
            raise
        return admitted

    async def _set_password(
        self, token: UUID, challenge: OpenChallenge, user: User, call: contract.AnswerChallenge
    ) -> Authentication:
        password = call.new_password
        if user.state != "must_change_password":
            raise _unknown()
        factor = required_factor(user)
        if factor is not None and factor != challenge.proof.factor:  # turned on meanwhile
            await self._challenges.spend(token, self._entropy.uuid())
            raise second_factor_required(factor)
        try:
            if password is None:
                raise Error(ErrorCode.INVALID_REQUEST, "no new password", detail={"field": "new_password"})
            await self._passwords.check_policy(password, names_of(user))
            if await self._passwords.matches(user.id, password):
                raise same_as_before()
        except Error:
            if not await self._challenges.give_back(token):  # met meanwhile, perhaps by this very password
                raise _unknown() from None
            raise
        if not await self._challenges.spend(token, self._entropy.uuid()):
            raise _unknown()
        renewed, changed_at = await self._passwords.replace(user, password)
        if renewed.state != "active":  # suspended at this very moment
            raise _unknown()
        await self._attempts.signed_in(accounts.of_user(user.id), call.source)
        # Later than the change, at which all sessions begun until then end.
        proved_at = changed_at + _INSTANT
        return Authentication(user=renewed, methods=list(challenge.proof.methods), proved_at=proved_at)


def _token(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise _unknown() from None


def _unknown() -> Error:
    return Error(ErrorCode.CHALLENGE_UNKNOWN, "there is no such challenge (any more)")
