"""What `password` answers: yes or no, never a hash."""

from uuid import UUID

from shared.bus.messages import Call, Done, Reply, Secret


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


class SetPassword(
    Call[Done], subject="password.set.v1", callers=("identity",), idempotent=True, timeout=4.0, cpu_heavy=True
):
    """Replace the user's password. `context` are words it must not be (identifiers of the user).

    Errors: weak_password with `detail.reasons`, overloaded.
    """

    user_id: UUID
    password: Secret
    context: list[str] = []
    enforce_policy: bool = True


class ImportPasswordHash(Call[Done], subject="password.import_hash.v1", callers=("identity",), idempotent=True):
    """Take over a hash made elsewhere; it is verified as it is and replaced at the next sign-in.

    Error: invalid_request for a form that cannot be verified.
    """

    user_id: UUID
    password_hash: Secret
