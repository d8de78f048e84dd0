"""Sessions, and what it is to refresh one."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from services.token.domain.refresh_tokens import RefreshToken
from shared.contracts.token import Dialect


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in user at one client. `counter` says which refresh token is the current one."""

    id: UUID
    user_id: UUID
    client_id: str
    dialect: Dialect
    scope: str | None
    methods: tuple[str, ...]
    counter: int
    created_at: datetime
    rotated_at: datetime
    expires_at: datetime

    @property
    def scopes(self) -> tuple[str, ...]:
        """What was granted, word by word."""
        return tuple((self.scope or "").split())


@dataclass(frozen=True, slots=True, eq=False)
class Refresh:
    """A refresh token as it is presented, and the rules that hold for it. Each time it is presented is another one."""

    token: RefreshToken
    client_id: str
    dialect: Dialect
    scope: str | None
    now: datetime
    life: timedelta
    grace: timedelta

    @property
    def expires_at(self) -> datetime:
        """When the refresh token that comes of it ends."""
        return self.now + self.life
