"""Clients of every kind, in a process of their own, while something is done to the platform."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from deploy.servers.process import ServerProcess
from deploy.verify.commands import WORK
from deploy.verify.table import VerifyError

_BEGIN_SECONDS = 60.0
_END_SECONDS = 30.0
_AT_MOST_SECONDS = 300


class Load:
    """What the clients saw; known when they have ended."""

    def __init__(self) -> None:
        self.report: dict[str, Any] = {}

    def require_no_error(self) -> str:
        """What they saw, in one line. VerifyError unless every request was answered as it should be."""
        errors, wrong = self.report["errors"], self.report["wrong"]
        if errors or wrong:
            raise VerifyError(f"{self.report['requests']} requests, errors {errors}, wrong {wrong[:3]}")
        return f"{self.report['requests']} requests, no error, the slowest {self.report['slowest']:.2f} s"


@contextmanager
def under_load(gateway: str) -> Iterator[Load]:
    """Load on the gateway while inside, from its first answer of each kind on; then the yielded object tells of it."""
    load = Load()
    command = [sys.executable, "-m", "deploy.verify.load", "--gateway", gateway, "--seconds", str(_AT_MOST_SECONDS)]
    clients = ServerProcess("load", command, WORK / "load.log")
    clients.launch()
    try:
        clients.wait_until_ready(lambda: "under load" in clients.last_lines(), _BEGIN_SECONDS)
        yield load
    finally:
        clients.stop(_END_SECONDS)
    try:
        load.report = json.loads(clients.last_lines(1))
    except ValueError:
        raise VerifyError(f"the load ended without a report\n{clients.last_lines()}") from None
