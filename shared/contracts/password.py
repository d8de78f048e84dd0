"""What `password` answers: yes or no, never a hash."""

from datetime import datetime
from uuid import UUID

from shared.bus.messages import Call, Done, Event, Reply, Secret


class Verification(Reply):
    """Whether the password was the user's."""

    matches: bool


class VerifyPassword(
    Call[Verification],
    subject="password.verify.v1",
    callers=("identity",),
    idempotent=True,
    timeout=4.0,
    cpu_heavy=True,
):
    """Compare a password with the user's hash. Without a user or a hash the same time is spent and the answer is no.

    Error: overloaded when the hash pool's queue is full.
    """

    user_id: UUID | None
    password: Secret


class PasswordSet(Reply):
    """The new password counts since `changed_at`."""

    changed_at: datetime | None = None


class SetPassword(
    Call[PasswordSet], subject="password.set.v1", callers=("identity",), idempotent=True, timeout=4.0, cpu_heavy=True
):
    """Replace the user's password. `context` are words it must not be (identifiers of the user).

    Errors: weak_password with `detail.reasons`, overloaded.
    """

    user_id: UUID
    password: Secret
    context: list[str] = []
    enforce_policy: bool = True


class CheckPasswordPolicy(Call[Done], subject="password.check_policy.v1", callers=("identity",), idempotent=True):
    """Whether the policy accepts a password, before anything is spent for setting it.

    Error: weak_password with `detail.reasons`.
    """

    password: Secret
    context: list[str] = []


class ImportPasswordHash(Call[PasswordSet], subject="password.import_hash.v1", callers=("identity",), idempotent=True):
    """Take over a hash made elsewhere; it is verified as it is and replaced at the next sign-in.

    Error: invalid_request for a form that cannot be verified.
    """

    user_id: UUID
    password_hash: Secret


class PasswordChanged(Event, subject="password.password_changed.v1", subscribers=("token",)):
    """A user's password was replaced by another; sessions begun until `changed_at` end. The first one is no change."""

    user_id: UUID
    changed_at: datetime
