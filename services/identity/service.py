"""What `identity` does, one method per call."""

from uuid import UUID

from services.identity import domain
from services.identity.domain import Identifier
from services.identity.repository import UserRepository
from services.identity.settings import IdentitySettings
from shared.bus.bus import Bus
from shared.bus.messages import Event
from shared.clock import Clock
from shared.contracts import identity as contract
from shared.contracts.identity import Authentication, Challenge, CodeSent, User, UserList
from shared.contracts.otp import CheckCode, IssueCode
from shared.contracts.password import ImportPasswordHash, SetPassword, VerifyPassword
from shared.entropy import Entropy
from shared.errors import Error, ErrorCode

_CODE_REFUSED = {ErrorCode.WRONG_CODE, ErrorCode.CODE_EXPIRED, ErrorCode.TOO_MANY_ATTEMPTS}


class IdentityService:
    """Users, and the proofs by which they are recognised."""

    def __init__(
        self, settings: IdentitySettings, users: UserRepository, bus: Bus, clock: Clock, entropy: Entropy
    ) -> None:
        self._settings = settings
        self._users = users
        self._bus = bus
        self._clock = clock
        self._entropy = entropy

    async def authenticate(self, call: contract.Authenticate) -> Authentication:
        """Recognise a user by a live code or a password.

        Every failure takes the same steps: a secret that may be a code is checked as one for whatever the identifier
        is, and a password is verified for users who do not exist too, against a dummy hash.
        """
        identifier = domain.identifier(call.identifier, self._settings.default_region)
        if identifier is not None and identifier.kind == "id":
            identifier = None  # a name for operators: every token shows it, and no limit counts by it
        user = await self._users.find(identifier) if identifier is not None else None
        secret = call.secret.get_secret_value()
        if await self._is_live_code(identifier, user, secret):
            user = user or await self._create_by_code(identifier)
            return self._admit(user, "otp")
        verified = await self._bus.call(VerifyPassword(user_id=user.id if user else None, password=call.secret))
        if user is None:
            raise Error(ErrorCode.NO_SUCH_USER, "nobody has that identifier")
        if not verified.matches:
            raise Error(ErrorCode.WRONG_PASSWORD, "the password is wrong")
        return self._admit(user, "pwd")

    async def _is_live_code(self, identifier: Identifier | None, user: User | None, secret: str) -> bool:
        may_be_code = secret.isascii() and secret.isdigit() and 6 <= len(secret) <= 8
        if not (self._settings.otp_enabled and may_be_code and identifier is not None):
            return False
        suspended = user is not None and user.state == "suspended"
        account = _nobody(identifier) if suspended else _account(identifier, user)
        try:
            await self._bus.call(CheckCode(account=account, purpose="sign_in", code=secret))
        except Error as error:
            if error.code in _CODE_REFUSED:  # it may still be a password made of digits
                return False
            raise
        return user is not None or self._settings.allow_new_users

    async def _create_by_code(self, identifier: Identifier | None) -> User:
        assert identifier is not None
        now = self._clock.now()
        user = User(id=self._entropy.uuid(), created_at=now, **{identifier.kind: identifier.value})
        try:
            return await self._users.insert(user, contract.UserCreated(user_id=user.id, created_at=now))
        except Error as error:
            existing = await self._users.find(identifier) if error.code == ErrorCode.CONFLICT else None
            if existing is None:
                raise
            return existing

    def _admit(self, user: User, method: str) -> Authentication:
        if user.state == "suspended":
            raise Error(ErrorCode.USER_SUSPENDED, "the user is suspended")
        challenge = Challenge(kind="new_password") if user.state == "must_change_password" else None
        return Authentication(user=user, methods=[method], challenge=challenge)

    async def send_code(self, call: contract.SendCode) -> CodeSent:
        """Send a sign-in code, or do everything but send it when nobody may have one.

        The answer repeats the requested address in its canonical form, never a stored one, which would tell a stranger.
        """
        if not self._settings.otp_enabled:
            raise Error(ErrorCode.FEATURE_DISABLED, "one time passwords are disabled")
        if call.email is not None:
            address = domain.email(call.email)
        else:
            address = domain.phone(call.phone or "", self._settings.default_region)
        user = await self._users.find(address)
        welcome = self._settings.allow_new_users if user is None else user.state == "active"
        await self._bus.call(
            IssueCode(
                account=_account(address, user) if welcome else _nobody(address),
                purpose="sign_in",
                channel="email" if address.kind == "email" else "sms",
                address=address.value,
                deliver=welcome,
            )
        )
        return CodeSent(**{address.kind: address.value})

    async def create_user(self, call: contract.CreateUser) -> User:
        """Create a user, or replace the one who holds the first identifier given.

        The password is set before the user is written: a crash in between leaves a hash that belongs to nobody rather
        than a user whose password is missing.
        """
        identifiers = self._identifiers(call)
        existing = await self._replaceable(identifiers, replace=call.replace)
        now = self._clock.now()
        user = User(
            id=existing.id if existing else self._entropy.uuid(),
            state="must_change_password" if call.must_change_password else "active",
            created_at=existing.created_at if existing else now,
            **{identifier.kind: identifier.value for identifier in identifiers},
        )
        await self._set_password(call, user.id, identifiers)
        if existing is None:
            return await self._users.insert(user, contract.UserCreated(user_id=user.id, created_at=now))
        changed = call.password is not None or call.password_hash is not None
        now = self._clock.now()  # only now: until here the old password was right
        events: list[Event] = [contract.PasswordChanged(user_id=user.id, changed_at=now)] if changed else []
        return await self._users.replace(user, now, *events)

    async def _replaceable(self, identifiers: list[Identifier], *, replace: bool) -> User | None:
        """The user to replace. Raises `conflict` for an identifier of anybody else, before a password is set."""
        existing = await self._users.find(identifiers[0]) if replace else None
        for identifier in identifiers:
            holder = await self._users.find(identifier)
            if holder is not None and (existing is None or holder.id != existing.id):
                raise Error(ErrorCode.CONFLICT, f"the {identifier.kind} is taken", detail={"field": identifier.kind})
        return existing

    async def _set_password(self, call: contract.CreateUser, user_id: UUID, identifiers: list[Identifier]) -> None:
        if call.password is not None:
            await self._bus.call(
                SetPassword(
                    user_id=user_id,
                    password=call.password,
                    context=[identifier.value for identifier in identifiers],
                    enforce_policy=call.enforce_policy,
                )
            )
        elif call.password_hash is not None:
            await self._bus.call(ImportPasswordHash(user_id=user_id, password_hash=call.password_hash))

    def _identifiers(self, call: contract.CreateUser) -> list[Identifier]:
        identifiers = [
            *([domain.email(call.email)] if call.email else []),
            *([domain.phone(call.phone, self._settings.default_region)] if call.phone else []),
            *([domain.username(call.username)] if call.username else []),
        ]
        if not identifiers:
            raise Error(ErrorCode.INVALID_REQUEST, "a user needs an e-mail address, a phone number or a username")
        if call.password is not None and call.password_hash is not None:
            raise Error(ErrorCode.INVALID_REQUEST, "a password and a hash exclude each other")
        return identifiers

    async def suspend_user(self, call: contract.SuspendUser) -> User:
        """Suspend a user; the event ends their sessions. A user who is suspended already stays so."""
        identifier = domain.identifier(call.identifier, self._settings.default_region)
        user = await self._users.find(identifier) if identifier is not None else None
        if user is None:
            raise Error(ErrorCode.NOT_FOUND, "nobody has that identifier")
        now = self._clock.now()
        event = contract.UserSuspended(user_id=user.id, suspended_at=now)
        suspended = await self._users.set_state(user.id, "suspended", now, event)
        return suspended or user

    async def get_user(self, call: contract.GetUser) -> User:
        """The user with that id."""
        user = await self._users.find(Identifier("id", str(call.user_id)))
        if user is None:
            raise Error(ErrorCode.NOT_FOUND, "there is no such user")
        return user

    async def delete_user(self, call: contract.DeleteUser) -> User:
        """Delete a user; the event ends their sessions."""
        identifier = domain.identifier(call.identifier, self._settings.default_region)
        user = await self._users.find(identifier) if identifier is not None else None
        if user is None:
            raise Error(ErrorCode.NOT_FOUND, "nobody has that identifier")
        await self._users.delete(user.id, contract.UserDeleted(user_id=user.id, deleted_at=self._clock.now()))
        return user

    async def list_users(self, call: contract.ListUsers) -> UserList:
        """One page of users."""
        limit = min(max(call.limit, 1), 1000)
        users = await self._users.page(call.after, limit)
        return UserList(users=users, next=users[-1].id if len(users) == limit else None)


def _account(address: Identifier, user: User | None) -> str:
    """Whose code it is: the user's, whichever address it was sent to, or that of an address which nobody has."""
    return f"user:{user.id}" if user is not None else f"{address.kind}:{address.value}"


def _nobody(address: Identifier) -> str:
    """An account that no code is ever accepted for, so that the work is the same for those who may not have one."""
    return f"nobody:{address.kind}:{address.value}"
