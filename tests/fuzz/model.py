"""What becomes of sessions, as simply as it can be said: the promises that the platform is held to."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

GRACE = timedelta(seconds=10)
UNSURE = timedelta(minutes=2)
"""Verifiers give clocks a leeway: so near to its end nothing is promised about an access token."""

ACCESS_LIVES = {
    "oauth2": timedelta(hours=1),
    "backoffice": timedelta(hours=10),
    "enterprise": timedelta(days=1),
    "directus": timedelta(minutes=15),
}
REFRESH_LIVES = {
    "oauth2": timedelta(days=14),
    "backoffice": timedelta(days=30),
    "enterprise": timedelta(days=90),
    "directus": timedelta(days=7),
}


@dataclass
class Account:
    """A user, and what can be known of them."""

    email: str
    password: str
    user_id: str
    suspended: bool = False
    wrong_attempts: int = 0
    sessions: "list[ModelSession]" = field(default_factory=list)

    def end_sessions(self) -> None:
        """None of those that there are goes on."""
        for session in self.sessions:
            session.alive = False


@dataclass
class ModelSession:
    """`refresh_tokens` are all that it had, the last is the current one; likewise `access_tokens`, with their ends."""

    account: Account
    dialect: str
    refresh_tokens: list[str]
    rotated_at: datetime
    ends_at: datetime
    access_tokens: list[tuple[str, datetime]]
    alive: bool = True

    @classmethod
    def begun(cls, account: Account, dialect: str, access: str, refresh: str, now: datetime) -> "ModelSession":
        """A session at its first moment."""
        access_tokens = [(access, now + ACCESS_LIVES[dialect])]
        session = cls(account, dialect, [refresh], now, now + REFRESH_LIVES[dialect], access_tokens)
        account.sessions.append(session)
        return session

    @property
    def rotates(self) -> bool:
        """Whether each refresh token is good once."""
        return self.dialect != "enterprise"

    def can_refresh(self, now: datetime) -> bool:
        """Whether the current refresh token is good."""
        return self.alive and now < self.ends_at

    def refreshed(self, access: str, refresh: str | None, now: datetime) -> None:
        """There are new tokens; the refresh token is new only where it rotates."""
        self.access_tokens.append((access, now + ACCESS_LIVES[self.dialect]))
        if refresh is not None:
            self.refresh_tokens.append(refresh)
            self.rotated_at, self.ends_at = now, now + REFRESH_LIVES[self.dialect]

    def is_forgiven(self, behind: int, now: datetime) -> bool:
        """Whether a token so many behind the current one yields the current one: an answer may have been lost."""
        return self.can_refresh(now) and behind == 1 and now - self.rotated_at <= GRACE

    def replayed(self, now: datetime) -> None:
        """A used token came again, by which a thief or the owner is known to have it: nobody goes on."""
        if self.can_refresh(now):
            self.alive = False

    def promise(self, number: int, now: datetime) -> bool | None:
        """Whether an access token is good, None so near to its end that nothing is promised."""
        _, end = self.access_tokens[number]
        if self.alive and abs(end - now) <= UNSURE:
            return None
        return self.alive and now < end
