"""What `identity` answers and tells: who somebody is."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import model_validator

from shared.bus.messages import Call, Event, Message, Reply, Secret

UserState = Literal["active", "suspended", "must_change_password"]


class User(Reply):
    """A user and the canonical form of each identifier."""

    id: UUID
    email: str | None = None
    phone: str | None = None
    username: str | None = None
    state: UserState = "active"
    created_at: datetime


class Challenge(Message):
    """What somebody has to do before the proof counts."""

    kind: Literal["new_password"]


class Authentication(Reply):
    """Who somebody is. With a `challenge` nothing may be granted until that is met.

    `methods` are authentication method references (RFC 8176): `pwd`, `otp`.
    """

    user: User
    methods: list[str]
    challenge: Challenge | None = None


class Authenticate(Call[Authentication], subject="identity.authenticate.v1", callers=("token",), timeout=5.0):
    """Turn an identifier (e-mail, phone or username) and a secret (password or live code) into a user or a challenge.

    Errors: no_such_user, wrong_password, user_suspended; the edge merges them.
    Not idempotent: a code is spent by it.
    """

    identifier: str
    secret: Secret


class CodeSent(Reply):
    """The canonical form of the requested address: exactly one of the two, whether or not anything was sent."""

    email: str | None = None
    phone: str | None = None


class SendCode(Call[CodeSent], subject="identity.send_code.v1", callers=("gateway",), idempotent=True):
    """Send a one-time code for signing in. A repeat inside the resend window sends the same code again.

    Errors: invalid_request with `detail.field` for an address that cannot be one, feature_disabled.
    """

    email: str | None = None
    phone: str | None = None

    @model_validator(mode="after")
    def _one_address(self) -> "SendCode":
        if (self.email is None) == (self.phone is None):
            raise ValueError("exactly one of email and phone")
        return self


class CreateUser(Call[User], subject="identity.create_user.v1", callers=("operator",), timeout=5.0):
    """Create a user with at least one identifier; without a password only one-time codes sign in.

    `password_hash` brings a hash from elsewhere (argon2, bcrypt, PBKDF2, scrypt in PHC or modular-crypt form).
    `enforce_policy=False` loads a password past the policy, for demo data and migrations.
    `replace` overwrites the user who holds the first identifier given.
    Errors: conflict, invalid_request, weak_password.
    """

    email: str | None = None
    phone: str | None = None
    username: str | None = None
    password: Secret | None = None
    password_hash: Secret | None = None
    must_change_password: bool = False
    enforce_policy: bool = True
    replace: bool = False


class SuspendUser(Call[User], subject="identity.suspend_user.v1", callers=("operator",), idempotent=True):
    """Suspend the user whom `identifier` (an id, e-mail, phone or username) names. Error: not_found."""

    identifier: str


class GetUser(Call[User], subject="identity.get_user.v1", callers=("gateway",), idempotent=True):
    """The user with that id. Error: not_found."""

    user_id: UUID


class DeleteUser(Call[User], subject="identity.delete_user.v1", callers=("operator",), idempotent=True):
    """Delete the user whom `identifier` names; every session ends, the identifiers are free. Error: not_found."""

    identifier: str


class UserList(Reply):
    """One page of users, ordered by creation; `next` is the id to pass as `after`, None at the end."""

    users: list[User]
    next: UUID | None = None


class ListUsers(Call[UserList], subject="identity.list_users.v1", callers=("operator",), idempotent=True):
    """A page of at most `limit` (1–1000) users."""

    after: UUID | None = None
    limit: int = 100


class UserCreated(Event, subject="identity.user_created.v1"):
    """A user came to be: by an operator or by using a first code."""

    user_id: UUID
    created_at: datetime


class UserSuspended(Event, subject="identity.user_suspended.v1", subscribers=("token",)):
    """A user may no longer do anything; every session ends."""

    user_id: UUID
    suspended_at: datetime


class UserDeleted(Event, subject="identity.user_deleted.v1", subscribers=("token",)):
    """A user is no more; every session ends."""

    user_id: UUID
    deleted_at: datetime


class PasswordChanged(Event, subject="identity.password_changed.v1", subscribers=("token",)):
    """A password was replaced; sessions begun before `changed_at` end."""

    user_id: UUID
    changed_at: datetime
