"""Second factors: proving them, and turning them on and off."""

from uuid import UUID

from pydantic import SecretStr

from services.identity.domain import accounts, totp
from services.identity.domain.recovery_codes import RecoveryCodes
from services.identity.domain.totp import NewSecrets, SecretBox
from services.identity.repository.second_factors import SecondFactorRepository, StoredTotp
from services.identity.repository.users import UserRepository
from services.identity.service.attempts import Attempts
from services.identity.service.codes import CodeService
from services.identity.service.passwords import PasswordService
from services.identity.settings import IdentitySettings
from shared import identifiers
from shared.bus.bus import Bus
from shared.bus.messages import Done
from shared.clock import Clock
from shared.contracts import identity as contract
from shared.contracts.identity import SecondFactor, TotpSetup, User
from shared.contracts.otp import IssueCode
from shared.errors import Error, ErrorCode, unavailable

METHODS: dict[SecondFactor, tuple[str, ...]] = {"email": ("otp",), "totp": ("otp", "mfa")}
"""Authentication method references (RFC 8176) beside `pwd`. E-mail proves no second possession (NIST SP 800-63B-4
§3.1.3.1), so that it does not make a sign-in multi-factor."""


class SecondFactorProver:
    """Has codes sent for the second factor, and spends what proves one."""

    def __init__(
        self,
        factors: SecondFactorRepository,
        box: SecretBox,
        recovery_codes: RecoveryCodes,
        codes: CodeService,
        bus: Bus,
        clock: Clock,
    ) -> None:
        self._factors = factors
        self._box = box
        self._recovery_codes = recovery_codes
        self._codes = codes
        self._bus = bus
        self._clock = clock

    async def send(self, user: User) -> None:
        """Mail a code. Raises `unavailable` when that cannot be done, whatever the reason."""
        if user.email is None:
            raise unavailable("the second factor cannot be sent: the user has no e-mail address")
        account = accounts.of_user(user.id)
        try:
            await self._bus.call(
                IssueCode(account=account, purpose="second_factor", channel="email", address=user.email)
            )
        except Error as error:
            raise unavailable(f"the second factor cannot be sent: {error.message}") from None

    async def prove(self, user: User, factor: SecondFactor, code: str, source: str | None = None) -> None:
        """Spend a code of the factor, from a network of that blinded name, if the account knows it.

        Errors: wrong_code, too_many_attempts, unavailable.
        """
        typed = "".join(code[:200].split())
        if factor == "email":
            try:
                await self._codes.spend(accounts.of_user(user.id), "second_factor", typed, source=source)
            except Error as error:
                if error.code == ErrorCode.CODE_EXPIRED:
                    raise wrong_code() from None
                raise
        elif not await self._prove_totp(user.id, typed):
            raise wrong_code()

    async def _prove_totp(self, user_id: UUID, typed: str) -> bool:
        stored = await self._factors.totp(user_id)
        if stored is None:
            return False
        if totp.is_code(typed):
            secret = self._box.unwrap(user_id, stored.wrapped_secret)
            step = totp.matching_step(secret, typed, self._clock.now())
            return step is not None and await self._factors.spend_step(user_id, stored.enabled_at, step)
        digests = self._recovery_codes.digests(user_id, typed)
        return bool(digests) and await self._factors.spend_recovery_code(user_id, digests)


class SecondFactorService:
    """Turns second factors on and off."""

    def __init__(
        self,
        settings: IdentitySettings,
        users: UserRepository,
        factors: SecondFactorRepository,
        new_secrets: NewSecrets,
        box: SecretBox,
        recovery_codes: RecoveryCodes,
        prover: SecondFactorProver,
        passwords: PasswordService,
        attempts: Attempts,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._users = users
        self._factors = factors
        self._new_secrets = new_secrets
        self._box = box
        self._recovery_codes = recovery_codes
        self._prover = prover
        self._passwords = passwords
        self._attempts = attempts
        self._clock = clock

    async def generate_totp(self, call: contract.GenerateTotp) -> TotpSetup:
        """A secret and its recovery codes, none of which is kept: it tells itself whose it is, and the codes follow."""
        user = await self._user_without_totp(call.user_id)
        await self._passwords.prove(user, call.password)
        secret = self._new_secrets.make(user.id, self._clock.now())
        name = user.email or user.username or user.phone or str(user.id)
        return TotpSetup(
            secret=SecretStr(totp.encode_secret(secret)),
            otpauth_url=SecretStr(totp.otpauth_url(secret, self._settings.totp_issuer, name)),
            recovery_codes=[SecretStr(code) for code in self._recovery_codes.codes(user.id, secret)],
        )

    async def enable_totp(self, call: contract.EnableTotp) -> Done:
        """Turn TOTP on for somebody whose app shows the right code; that code works no second time.

        The secret must be one that the user was given for the password a short while ago: only the password's holder
        may set up what is asked for beside it ever after.
        """
        secret = totp.decode_secret(call.secret.get_secret_value())
        user = await self._user_without_totp(call.user_id)
        typed = "".join(call.code.get_secret_value()[:200].split())
        now = self._clock.now()
        if not self._new_secrets.is_ours(user.id, secret, now):
            raise Error(
                ErrorCode.INVALID_REQUEST,
                "the TOTP secret was not generated for this user, or too long ago",
                detail={"field": "secret", "reason": "not_generated"},
            )
        async with self._attempts.counted(accounts.of_user(user.id)):
            step = totp.matching_step(secret, typed, now) if totp.is_code(typed) else None
            if step is None:
                raise wrong_code()
        stored = StoredTotp(self._box.wrap(user.id, secret), step, now)
        if not await self._factors.enable_totp(user.id, stored, self._recovery_codes.kept(user.id, secret)):
            await self._user_without_totp(user.id)  # says which of the two it was
            raise Error(ErrorCode.CONFLICT, "TOTP was turned on and off meanwhile")
        return Done()

    async def disable_totp(self, call: contract.DisableTotp) -> Done:
        """Turn TOTP off for somebody who has a code or a recovery code; the recovery codes go with it."""
        user = await self._live_user(call.user_id)
        if "totp" not in user.second_factors:
            raise Error(ErrorCode.NOT_FOUND, "TOTP is not on")
        async with self._attempts.counted(accounts.of_user(user.id)):
            await self._prover.prove(user, "totp", call.code.get_secret_value())
        await self._factors.disable_totp(user.id)
        return Done()

    async def set_second_factors(self, call: contract.SetSecondFactors) -> User:
        """Do what an operator says about a user's second factors."""
        identifier = identifiers.identifier(call.identifier, self._settings.default_region)
        user = await self._users.find(identifier) if identifier is not None else None
        if user is None:
            raise Error(ErrorCode.NOT_FOUND, "nobody has that identifier")
        if call.email and user.email is None:
            raise Error(ErrorCode.INVALID_REQUEST, "the user has no e-mail address", detail={"field": "email"})
        if call.email is not None:
            await self._factors.set_email(user.id, self._clock.now(), on=call.email)
        if call.remove_totp:
            await self._factors.disable_totp(user.id)
        return await self._users.get(user.id) or user

    async def _live_user(self, user_id: UUID) -> User:
        user = await self._users.get(user_id)
        if user is None or user.state == "suspended":
            raise Error(ErrorCode.NOT_FOUND, "there is no such user")
        return user

    async def _user_without_totp(self, user_id: UUID) -> User:
        user = await self._live_user(user_id)
        if "totp" in user.second_factors:
            raise Error(ErrorCode.CONFLICT, "TOTP is on already")
        return user


def wrong_code() -> Error:
    """The one answer to a code that does not count, whether it is wrong, used or too old."""
    return Error(ErrorCode.WRONG_CODE, "the code is wrong, or was used")


def second_factor_required(factor: SecondFactor) -> Error:
    """The password was right and something is missing."""
    return Error(ErrorCode.SECOND_FACTOR_REQUIRED, "a second factor is required", detail={"factor": factor})
