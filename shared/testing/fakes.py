"""Time that stands until it is moved, and randomness that repeats."""

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID


class FakeClock:
    """Stands at `start` until `advance` moves it; with a `tick` each look at it moves it on by so much."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self.tick = timedelta(0)

    def now(self) -> datetime:
        """Where the clock stands."""
        self._now += self.tick
        return self._now

    def advance(self, seconds: float) -> None:
        """Move it forward, or back."""
        self._now += timedelta(seconds=seconds)


class SeededEntropy:
    """The same bytes in the same order for the same seed."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose

    def token_bytes(self, size: int) -> bytes:
        """The next `size` bytes."""
        return self._random.randbytes(size)

    def uuid(self) -> UUID:
        """The next UUID."""
        return UUID(bytes=self.token_bytes(16), version=4)
