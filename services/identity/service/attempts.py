"""The one limit on guessing: each account's failed attempts, whatever was tried and in whichever dialect."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

from services.identity.domain.failures import LocalFailures
from services.identity.domain.keys import Names
from services.identity.metrics import IdentityMetrics
from services.identity.repository.failures import FailureRepository
from shared.clock import Clock
from shared.entropy import Entropy
from shared.errors import Error, ErrorCode, unavailable

_POLL_SECONDS = 0.05
_MOST_POLLS = 30

UNDECIDED = {ErrorCode.UNAVAILABLE, ErrorCode.OVERLOADED, ErrorCode.DEADLINE_EXCEEDED}
"""Errors after which nobody knows whether the secret was right."""

_NO_FAILURE = UNDECIDED | {ErrorCode.SECOND_FACTOR_REQUIRED}


@dataclass
class Attempt:
    """An attempt that was counted and may be compared now. `complete` says that everything was proved with it."""

    name: str
    id: str
    shared: bool
    complete: bool = False

    def require_shared(self) -> None:
        """Raise `unavailable` unless all replicas see the attempt: short codes must not be tried without."""
        if not self.shared:
            raise unavailable("attempts cannot be counted, so that no code is compared")


class Attempts:
    """Counts attempts before they are compared, and refuses them for a while after too many have failed.

    Attempts at once are let through up to what may fail; more wait for those to be decided, so that ten devices of one
    account that sign in together all get in, while guesses at once are no more than guesses one by one.
    """

    def __init__(
        self,
        failures: FailureRepository,
        local: LocalFailures,
        names: Names,
        metrics: IdentityMetrics,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        """`local` counts while Redis is away, for those that may do without."""
        self._failures = failures
        self._local = local
        self._names = names
        self._metrics = metrics
        self._clock = clock
        self._entropy = entropy

    @asynccontextmanager
    async def counted(
        self,
        account: str,
        *,
        without_redis: bool = False,
        when_refused: Callable[[], Awaitable[None]] | None = None,
    ) -> AsyncIterator[Attempt]:
        """Compare a secret of `account` while inside.

        An error on leaving counts as a failure, unless it says that nothing was decided or that something else is
        missing; then, and without an error, the attempt is given back. A `complete` one forgets all failures.

        Raises `too_many_attempts` with `retry_after` during a delay, after `when_refused`, which does what takes the
        time of a comparison. `without_redis` lets this process count alone while Redis is away; otherwise that is
        `unavailable`.
        """
        attempt, wait = await self._begin(self._names.account(account), without_redis=without_redis)
        outcome = "delayed" if wait else "admitted"
        self._metrics.attempts.labels(outcome if attempt.shared else f"{outcome} without redis").inc()
        if wait:
            if when_refused is not None:
                await when_refused()
            message = "too many failed attempts for this account"
            raise Error(ErrorCode.TOO_MANY_ATTEMPTS, message, retry_after=wait.total_seconds())
        try:
            yield attempt
        except Error as error:
            await (self._give_back(attempt) if error.code in _NO_FAILURE else self._keep(attempt))
            raise
        await (self._forget(attempt.name) if attempt.complete else self._give_back(attempt))

    async def forget(self, account: str) -> None:
        """Begin anew, for somebody who has proved who they are in another way."""
        await self._forget(self._names.account(account))

    async def _begin(self, name: str, *, without_redis: bool) -> tuple[Attempt, timedelta]:
        attempt = Attempt(name, str(self._entropy.uuid()), shared=True)
        try:
            return attempt, await self._wait_at_redis(attempt)
        except Error as error:
            if error.code != ErrorCode.UNAVAILABLE or not without_redis:
                raise
        attempt.shared = False
        return attempt, self._local.begin(name, attempt.id, self._clock.now())

    async def _wait_at_redis(self, attempt: Attempt) -> timedelta:
        for _ in range(_MOST_POLLS):
            verdict = await self._failures.begin(attempt.name, attempt.id, self._clock.now())
            if not verdict.undecided:
                break
            await asyncio.sleep(_POLL_SECONDS)
        return verdict.wait

    # What is not heard of any more counts as a failure: none of these has to succeed.

    async def _keep(self, attempt: Attempt) -> None:
        if attempt.shared:
            with suppress(Error):
                await self._failures.keep(attempt.name, attempt.id)

    async def _give_back(self, attempt: Attempt) -> None:
        self._local.give_back(attempt.name, attempt.id)
        if attempt.shared:
            with suppress(Error):
                await self._failures.give_back(attempt.name, attempt.id)

    async def _forget(self, name: str) -> None:
        self._local.forget(name)
        with suppress(Error):
            await self._failures.forget(name)
