"""The one limit on guessing: failed attempts at each account, whatever was tried and in whichever dialect."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

from services.identity.domain.failures import LocalFailures
from services.identity.domain.keys import Names
from services.identity.metrics import IdentityMetrics
from services.identity.repository.failures import FailureRepository
from services.identity.repository.known_sources import KnownSources
from shared.clock import Clock
from shared.entropy import Entropy
from shared.errors import Error, ErrorCode, unavailable

_POLL_SECONDS = 0.05
_MOST_POLLS = 30

UNDECIDED = {ErrorCode.UNAVAILABLE, ErrorCode.OVERLOADED, ErrorCode.DEADLINE_EXCEEDED}
"""Errors after which nobody knows whether the secret was right."""

_NO_FAILURE = UNDECIDED | {ErrorCode.SECOND_FACTOR_REQUIRED, ErrorCode.TOO_MANY_ATTEMPTS}
"""Nor was anything compared where `otp` takes no more codes."""


@dataclass
class Attempt:
    """An attempt that was counted and may be compared now.

    `account` and `source` are blinded names; it is counted for one of the two, for the source where that is known.
    `signed_in` is the account that everything was proved for with it.
    """

    id: str
    account: str
    source: str | None
    known: bool = False
    shared: bool = True
    signed_in: str | None = None

    @property
    def counter(self) -> str:
        """What it is counted for."""
        return self.known_source or self.account

    @property
    def known_source(self) -> str | None:
        """Where it comes from, if the account knows that."""
        return self.source if self.known else None

    def require_shared(self) -> None:
        """Raise `unavailable` unless all replicas see the attempt: short codes must not be tried without."""
        if not self.shared:
            raise unavailable("attempts cannot be counted, so that no code is compared")


class Attempts:
    """Counts attempts before they are compared, and refuses them for a while after too many have failed.

    Attempts at once are let through up to what may fail; more wait for those to be decided, so that ten devices of one
    account that sign in together all get in, while guesses at once are no more than guesses one by one.

    A source from which somebody has signed in to the account is known for it and has a counter of its own, of the same
    rules. Neither counter hears of the other's failures: a stranger's guesses hold up other strangers, not the owner
    where the owner has been before, and guesses from there hold up that place alone. So an account takes at most
    (1 + `known_sources`) times the guesses that one counter admits, and only somebody in all of those places at once
    can make so many: by default 21 x 10 before delays, while a stranger has 10. `otp` counts guesses at codes in the
    same way, five for each. Nobody's account knows a source, so that strangers' accounts are counted alike.
    """

    def __init__(
        self,
        failures: FailureRepository,
        local: LocalFailures,
        sources: KnownSources,
        names: Names,
        metrics: IdentityMetrics,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        """`local` counts while Redis is away, for those that may do without; it knows accounts only."""
        self._failures = failures
        self._local = local
        self._sources = sources
        self._names = names
        self._metrics = metrics
        self._clock = clock
        self._entropy = entropy
        self._giving_back: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def counted(
        self,
        account: str,
        *,
        source: str | None = None,
        without_redis: bool = False,
        when_refused: Callable[[], Awaitable[None]] | None = None,
    ) -> AsyncIterator[Attempt]:
        """Compare a secret of `account` while inside. `source` is the network that it came from, if that is known.

        An error on leaving counts as a failure, unless it says that nothing was decided or that something else is
        missing; then, and without an error, the attempt is given back. One that has `signed_in` forgets the failures
        that it was counted among, and makes its source known.

        Raises `too_many_attempts` with `retry_after` during a delay, after `when_refused`, which does what takes the
        time of a comparison; `overloaded` when too many others stay under way. `without_redis` lets this process count
        alone while Redis is away; otherwise that is `unavailable`.
        """
        attempt = Attempt(str(self._entropy.uuid()), self._names.account(account), self._source(account, source))
        wait = await self._begin(attempt, without_redis=without_redis)
        outcome = "delayed" if wait else "admitted"
        self._note(attempt, outcome if attempt.shared else f"{outcome} without redis")
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
        if attempt.signed_in is None:
            await self._give_back(attempt)
        else:
            await self._forget(attempt.account, attempt.counter)
            await self._remember(attempt.signed_in, source)

    async def forget(self, account: str) -> None:
        """Begin anew wherever from, for somebody who has proved who they are in another way."""
        name = self._names.account(account)
        sources: list[str] = []
        with suppress(Error):
            sources = await self._sources.all(name)
        await self._forget(name, name, *sources)

    async def signed_in(self, account: str, source: str | None) -> None:
        """Begin anew, for somebody who has proved everything in another way, from a source that is known then."""
        await self.forget(account)
        await self._remember(account, source)

    def _source(self, account: str, source: str | None) -> str | None:
        return self._names.source(account, source) if source else None

    def _note(self, attempt: Attempt, outcome: str) -> None:
        self._metrics.attempts.labels(outcome, "known" if attempt.known else "unknown").inc()

    async def _begin(self, attempt: Attempt, *, without_redis: bool) -> timedelta:
        try:
            if attempt.source is not None:
                attempt.known = await self._sources.knows(attempt.account, attempt.source, self._clock.now())
            return await self._wait_at_redis(attempt)
        except Error as error:
            if error.code != ErrorCode.UNAVAILABLE or not without_redis:
                raise
        attempt.shared = False
        return self._local.begin(attempt.account, attempt.id, self._clock.now())

    async def _wait_at_redis(self, attempt: Attempt) -> timedelta:
        for _ in range(_MOST_POLLS):
            verdict = await self._failures.begin(attempt.counter, attempt.id, self._clock.now())
            if not verdict.undecided:
                return verdict.wait
            await asyncio.sleep(_POLL_SECONDS)
        self._note(attempt, "undecided")
        wait = verdict.wait.total_seconds()
        raise Error(ErrorCode.OVERLOADED, "too many attempts at this account are under way", retry_after=wait)

    # What is not heard of any more counts as a failure: none of these has to succeed.

    async def _keep(self, attempt: Attempt) -> None:
        if attempt.shared:
            with suppress(Error):
                await self._failures.keep(attempt.counter, attempt.id)

    async def _give_back(self, attempt: Attempt) -> None:
        # It goes on where the time of the request ends meanwhile.
        task = asyncio.create_task(self._take_out(attempt))
        self._giving_back.add(task)
        task.add_done_callback(self._giving_back.discard)
        await asyncio.shield(task)

    async def _take_out(self, attempt: Attempt) -> None:
        self._local.give_back(attempt.account, attempt.id)
        if attempt.shared:
            with suppress(Error):
                await self._failures.give_back(attempt.counter, attempt.id)

    async def _forget(self, account: str, *counters: str) -> None:
        self._local.forget(account)
        with suppress(Error):
            await self._failures.forget(*counters)

    async def _remember(self, account: str, source: str | None) -> None:
        name = self._source(account, source)
        if name is not None:
            with suppress(Error):
                await self._sources.remember(self._names.account(account), name, self._clock.now())
