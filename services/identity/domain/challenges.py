"""What stands between a right password and a session, and what is remembered of it meanwhile."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from shared.contracts.identity import ChallengeKind, SecondFactor, User


class Proof(BaseModel):
    """What somebody has proved so far, when, and what the dialect can do about the rest.

    `factor` is the second factor among it; `new_password` says that a challenge may ask for a new password.
    """

    model_config = ConfigDict(frozen=True)

    dialect: str
    methods: tuple[str, ...]
    proved_at: datetime
    factor: SecondFactor | None = None
    new_password: bool = False


class OpenChallenge(BaseModel):
    """A challenge that waits for its answer. `factor` is the one to prove, for a `second_factor`."""

    model_config = ConfigDict(frozen=True)

    kind: ChallengeKind
    user_id: UUID
    proof: Proof
    expires_at: datetime
    factor: SecondFactor | None = None


def required_factor(user: User) -> SecondFactor | None:
    """The second factor that a sign-in of this user has to prove: the first, since TOTP stands before e-mail."""
    return user.second_factors[0] if user.second_factors else None
