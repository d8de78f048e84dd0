"""Liveness and readiness of one component."""

import asyncio
from collections.abc import Awaitable, Callable

from shared.errors import Error

Check = Callable[[], Awaitable[None]]
"""Raises when the thing checked would not serve a request now."""

_CHECK_SECONDS = 1.0


class Health:
    """Knows whether a component should get traffic: every check passes and nobody asked it to stop."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self.stopping = False

    def add(self, name: str, check: Check) -> None:
        """Make readiness depend on `check`, reported as `name`."""
        self._checks[name] = check

    async def report(self) -> dict[str, str]:
        """Run all checks at once, each for a second at most; the value is "ok" or what is wrong."""
        results = await asyncio.gather(*(self._run(check) for check in self._checks.values()))
        report = dict(zip(self._checks, results, strict=True))
        if self.stopping:
            report["process"] = "stopping"
        return report

    async def _run(self, check: Check) -> str:
        silent = f"no answer within {_CHECK_SECONDS:g} s"
        asked = asyncio.ensure_future(check())
        # Retrieved, or the loop would complain of a check that fails after nobody waits for it any more.
        asked.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            # Not asyncio.timeout: to be cancelled may take a check long, where it gives a silent connection back.
            await asyncio.wait({asked}, timeout=_CHECK_SECONDS)
        finally:
            late = asked.cancel()
        if late:
            return silent
        try:
            asked.result()
        except TimeoutError:
            return silent
        except Error as error:
            return error.message
        except Exception as error:  # noqa: BLE001 - whatever is wrong, the answer is "not ready"
            return type(error).__name__
        return "ok"
