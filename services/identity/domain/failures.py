"""How many failed attempts an account may have, and how long the next one has to wait then."""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

_FIRST_DELAY = timedelta(seconds=1)
_MOST_DOUBLINGS = 20
_MOST_ACCOUNTS = 10_000


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """`allowed` attempts in a row may fail; from then on each is followed by a delay, twice as long as the one before.

    No delay is longer than `longest_delay`, and none is for ever: whoever locks an account out by guessing locks it
    out for that long (user-pains row 21). `forget_after` so much quiet the account begins anew.
    """

    allowed: int
    longest_delay: timedelta
    forget_after: timedelta

    def delay(self, failures: int) -> timedelta:
        """How long after the latest of so many attempts the next one is refused."""
        if failures < self.allowed:
            return timedelta(0)
        doublings = min(failures - self.allowed, _MOST_DOUBLINGS)
        return min(_FIRST_DELAY * (1 << doublings), self.longest_delay)

    @property
    def most_failures(self) -> int:
        """Beyond so many the delay does not grow any more, so that more need not be counted."""
        return self.allowed + _MOST_DOUBLINGS


class LocalFailures:
    """Failed attempts as one process knows them: what is left while Redis is away.

    Only the accounts tried last are remembered, so that nobody fills the memory with names.
    """

    def __init__(self, policy: FailurePolicy, most_accounts: int = _MOST_ACCOUNTS) -> None:
        self._policy = policy
        self._most_accounts = most_accounts
        self._attempts: OrderedDict[str, dict[str, datetime]] = OrderedDict()

    def begin(self, account: str, attempt: str, now: datetime) -> timedelta:
        """Count an attempt before it is compared; a wait, and nothing counted, while a delay lasts."""
        attempts = self._attempts.pop(account, {})
        if attempts:
            ends = max(attempts.values()) + self._policy.delay(len(attempts))
            if now < ends:
                self._remember(account, attempts)
                return ends - now
            if now >= ends + self._policy.forget_after:
                attempts = {}
        while len(attempts) >= self._policy.most_failures:
            del attempts[next(iter(attempts))]
        self._remember(account, {**attempts, attempt: now})
        return timedelta(0)

    def give_back(self, account: str, attempt: str) -> None:
        """Take one attempt out of the count."""
        self._attempts.get(account, {}).pop(attempt, None)

    def forget(self, account: str) -> None:
        """Begin anew."""
        self._attempts.pop(account, None)

    def _remember(self, account: str, attempts: dict[str, datetime]) -> None:
        self._attempts[account] = attempts
        while len(self._attempts) > self._most_accounts:
            self._attempts.popitem(last=False)
