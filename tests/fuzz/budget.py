"""How many cases are tried, and what came of them."""

import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, seed, settings

Test = TypeVar("Test", bound=Callable[..., Any])

_FEW = 8
_FEW_SESSIONS = 24
_STEPS = 40


@dataclass
class Budget:
    """`cases` in all, or None for the few that `make test` tries: the same ones each time, so that it stays green.

    A case is one request to an operation, or one turn of a session.
    """

    cases: int | None
    tried: Counter[str] = field(default_factory=Counter)
    began: float = field(default_factory=time.perf_counter)

    def requests(self, operations: int, name: str) -> Callable[[Test], Test]:
        """For the operation of that name, one of so many."""
        chosen = settings(self._common(), max_examples=_FEW if self.cases is None else ceil(self.cases / operations))
        # Operations that are tried by one function would otherwise get the same cases.
        return lambda test: chosen(test if self.cases is not None else seed(zlib.crc32(name.encode()))(test))

    def sessions(self) -> settings:
        """For the turns of sessions: about a tenth of what the operations get."""
        examples = _FEW_SESSIONS if self.cases is None else ceil(self.cases / 10 / (_STEPS / 2))
        return settings(self._common(), max_examples=examples, stateful_step_count=_STEPS)

    def _common(self) -> settings:
        return settings(
            deadline=None,
            database=None,  # a test leaves nothing behind
            derandomize=self.cases is None,
            # What is found here depends on what went before, so that making it smaller would only lead astray.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )

    def report(self) -> None:
        """Print what was tried."""
        seconds = time.perf_counter() - self.began
        number = sum(self.tried.values())
        print(f"\n{number} cases in {seconds:.0f} s")  # noqa: T201 - the result
        for name, times in sorted(self.tried.items()):
            print(f"  {name}: {times}")  # noqa: T201 - the result
