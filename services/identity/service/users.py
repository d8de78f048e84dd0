"""Users: created, replaced, suspended, deleted and listed."""

from uuid import UUID

from services.identity.domain import totp
from services.identity.domain.totp import SecretBox
from services.identity.repository.users import NewFactors, UserRepository
from services.identity.service.security_settings import SecuritySettingsService
from services.identity.settings import IdentitySettings
from shared import identifiers
from shared.bus.bus import Bus
from shared.bus.messages import Event
from shared.clock import Clock
from shared.contracts import identity as contract
from shared.contracts.identity import KnownUser, User, UserList
from shared.contracts.password import ImportPasswordHash, PasswordSet, SetPassword
from shared.entropy import Entropy
from shared.errors import Error, ErrorCode
from shared.identifiers import Identifier


class UserService:
    """Users and their names, as operators and other services see them."""

    def __init__(
        self,
        settings: IdentitySettings,
        security: SecuritySettingsService,
        users: UserRepository,
        box: SecretBox,
        bus: Bus,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._settings = settings
        self._security = security
        self._users = users
        self._box = box
        self._bus = bus
        self._clock = clock
        self._entropy = entropy

    async def create_user(self, call: contract.CreateUser) -> User:
        """Create a user, or replace the one who holds the first identifier given.

        The password is set before the user is written: a crash in between leaves a hash that belongs to nobody rather
        than a user whose password is missing. A TOTP secret that is brought along has no recovery codes, since nobody
        would see them. Where the security settings say so everybody with an e-mail address begins with that factor.
        """
        found = self._identifiers(call)
        # Before anything is changed: a secret that is none must not leave half a user.
        secret = totp.decode_secret(call.totp_secret.get_secret_value()) if call.totp_secret is not None else None
        existing = await self._replaceable(found, replace=call.replace)
        now = self._clock.now()
        user = User(
            id=existing.id if existing else self._entropy.uuid(),
            state="must_change_password" if call.must_change_password else "active",
            created_at=existing.created_at if existing else now,
            **{identifier.kind: identifier.value for identifier in found},
        )
        wrapped = self._box.wrap(user.id, secret) if secret is not None else None
        by_email = call.email_second_factor or (
            (await self._security.values()).email_second_factor_default and bool(call.email)
        )
        factors = NewFactors(email=by_email, wrapped_totp=wrapped)
        changed = await self._set_password(call, user.id, found)
        if existing is None:
            return await self._users.insert(user, factors, contract.UserCreated(user_id=user.id, created_at=now))
        now = self._clock.now()  # only now: until here the old password was right
        events: list[Event] = []
        if changed is not None and changed.changed_at is None:  # an earlier version of `password`, which tells nobody
            events.append(contract.PasswordChanged(user_id=user.id, changed_at=now))
        return await self._users.replace(user, factors, now, *events)

    async def _replaceable(self, found: list[Identifier], *, replace: bool) -> User | None:
        """The user to replace. Raises `conflict` for an identifier of anybody else, before a password is set."""
        existing = await self._users.find(found[0]) if replace else None
        for identifier in found:
            holder = await self._users.find(identifier)
            if holder is not None and (existing is None or holder.id != existing.id):
                raise Error(ErrorCode.CONFLICT, f"the {identifier.kind} is taken", detail={"field": identifier.kind})
        return existing

    async def _set_password(
        self, call: contract.CreateUser, user_id: UUID, found: list[Identifier]
    ) -> PasswordSet | None:
        if call.password is not None:
            return await self._bus.call(
                SetPassword(
                    user_id=user_id,
                    password=call.password,
                    context=[identifier.value for identifier in found],
                    enforce_policy=call.enforce_policy,
                )
            )
        if call.password_hash is not None:
            return await self._bus.call(ImportPasswordHash(user_id=user_id, password_hash=call.password_hash))
        return None

    def _identifiers(self, call: contract.CreateUser) -> list[Identifier]:
        found = [
            *([identifiers.email(call.email)] if call.email else []),
            *([identifiers.phone(call.phone, self._settings.default_region)] if call.phone else []),
            *([identifiers.username(call.username)] if call.username else []),
        ]
        if not found:
            raise Error(ErrorCode.INVALID_REQUEST, "a user needs an e-mail address, a phone number or a username")
        if call.password is not None and call.password_hash is not None:
            raise Error(ErrorCode.INVALID_REQUEST, "a password and a hash exclude each other")
        if call.email_second_factor and not call.email:
            message = "a second factor by e-mail needs an e-mail address"
            raise Error(ErrorCode.INVALID_REQUEST, message, detail={"field": "email"})
        return found

    async def suspend_user(self, call: contract.SuspendUser) -> User:
        """Suspend a user; the event ends their sessions. A user who is suspended already stays so."""
        identifier = identifiers.identifier(call.identifier, self._settings.default_region)
        user = await self._users.find(identifier) if identifier is not None else None
        if user is None:
            raise Error(ErrorCode.NOT_FOUND, "nobody has that identifier")
        now = self._clock.now()
        event = contract.UserSuspended(user_id=user.id, suspended_at=now)
        suspended = await self._users.set_state(user.id, "suspended", now, event)
        return suspended or user

    async def get_user(self, call: contract.GetUser) -> KnownUser:
        """The user with that id, and whether a name is theirs."""
        user = await self._users.get(call.user_id)
        if user is None:
            raise Error(ErrorCode.NOT_FOUND, "there is no such user")
        name = identifiers.identifier(call.name or "", self._settings.default_region)
        own = {"id": str(user.id), "email": user.email, "phone": user.phone, "username": user.username}
        return KnownUser(**dict(user), named=name is not None and own[name.kind] == name.value)

    async def delete_user(self, call: contract.DeleteUser) -> User:
        """Delete a user; the event ends their sessions."""
        identifier = identifiers.identifier(call.identifier, self._settings.default_region)
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
