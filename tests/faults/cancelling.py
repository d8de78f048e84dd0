"""Questions that are given up at random moments, and whether those that are not get their own answers."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from shared.errors import Error

_WORKERS = 32
_NEVER_EACH = 4
"""One of so many questions is never given up: their answers say how long one takes."""


@dataclass
class Outcome:
    """What came of all questions."""

    answered: int = 0
    cancelled: int = 0
    errors: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


async def cancel_at_random(ask: Callable[[int], Awaitable[int]], number: int, seed: int = 39) -> Outcome:
    """Ask `number` questions, some at a time, and give many of them up on their way.

    `ask(n)` must come to n; whatever else it comes to is an answer to somebody else's question.
    """
    loop = asyncio.get_running_loop()
    dice = random.Random(seed)
    outcome = Outcome()
    questions = iter(range(number))
    typical = 0.002

    async def worker() -> None:
        nonlocal typical
        for n in questions:
            patient = n % _NEVER_EACH == 0
            began = loop.time()
            question = asyncio.ensure_future(ask(n))
            await asyncio.wait({question}, timeout=None if patient else dice.uniform(0.0, typical))
            question.cancel()
            try:
                answer = await question
            except asyncio.CancelledError:
                outcome.cancelled += 1
            except Error as error:
                outcome.errors.append(error.message)
            else:
                outcome.answered += 1
                if answer != n:
                    outcome.wrong.append(f"{answer} instead of {n}")
                if patient:
                    typical += 0.1 * (loop.time() - began - typical)

    await asyncio.gather(*(worker() for _ in range(_WORKERS)))
    return outcome
