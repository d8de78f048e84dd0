"""Starts the platform's processes, waits for them, watches them and stops them."""

import os
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.servers import ServerError
from deploy.servers.process import ServerProcess

READY_AFTER = 60.0
DRAINED_AFTER = 10.0


@dataclass
class Component:
    """One process of the platform and the address that answers 200 when it can work."""

    process: ServerProcess
    readiness: str
    again: str
    reported: bool = False

    def is_ready(self) -> bool:
        """Whether its readiness address answers 200 now."""
        try:
            with urllib.request.urlopen(self.readiness, timeout=1.0) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


class Platform:
    """The inbox and the five components, each a process of its own."""

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        self._logs = logs
        outside = {name: value for name, value in os.environ.items() if not name.startswith("DRAGOMAN_")}
        self.environment = outside | dict(environment) | {"PYTHONUNBUFFERED": "1"}
        self._components: list[Component] = []

    def start(self, name: str, command: Sequence[str], readiness: str, again: str) -> None:
        """Starts one process and does not wait for it.

        Args:
            name: what to call it; its output goes to <name>.log.
            command: the program and its arguments.
            readiness: URL that answers 200 when it can work.
            again: the shell command that a developer starts it with again.
        """
        process = ServerProcess(name, command, self._logs / f"{name}.log", environment=self.environment)
        self._components.append(Component(process, readiness, again))
        process.launch()

    def run(self, name: str, command: Sequence[str]) -> None:
        """Runs a command to its end; raises ServerError with the end of its output when it fails."""
        log = self._logs / f"{name}.log"
        task = ServerProcess(name, command, log, environment=self.environment)
        log.unlink(missing_ok=True)
        task.launch()
        try:
            while task.running:
                time.sleep(0.02)
        finally:
            task.stop()
        if task.exit_code != 0:
            raise ServerError(f"{name} failed (exit code {task.exit_code})\n{task.last_lines()}")

    def wait_until_ready(self) -> None:
        """Returns when every process answers; ServerError with the end of its log for one that does not."""
        end = time.monotonic() + READY_AFTER
        for component in self._components:
            component.process.wait_until_ready(component.is_ready, max(0.0, end - time.monotonic()))

    def watch(self, report: Callable[[str], None]) -> None:
        """Says in one line when a process has ended, and how to start it again; never returns."""
        while True:
            for component in self._components:
                if not component.reported and not component.process.running:
                    component.reported = True
                    name, code = component.process.name, component.process.exit_code
                    report(f"{name} has ended (exit code {code}); start it again with: {component.again}")
            time.sleep(0.25)

    def stop(self) -> None:
        """Asks all processes to end together, and waits for them while they finish their work."""
        end = time.monotonic() + DRAINED_AFTER
        for component in self._components:
            component.process.terminate()
        for component in self._components:
            component.process.stop(max(0.1, end - time.monotonic()))


def program(name: str) -> str:
    """A program of the virtual environment that this process runs in."""
    return str(Path(sys.executable).parent / name)
