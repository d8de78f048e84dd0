"""One child process that never outlives its owner, and the signals that tests send to it."""

import os
import pwd
import queue
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import cache
from pathlib import Path

from deploy.servers.errors import ServerError
from deploy.servers.processes import Process, descendants, wait_until_gone

LOG_LIMIT = 10_000_000
READY_AFTER = 120.0  # a broker on a loaded machine takes a minute


class ServerProcess:
    """A child that is started, watched, stopped, killed, paused and started again under the same command.

    Where the machine has `setpriv`, the kernel kills the child as soon as this process is gone, however it went.

    Args:
        name: what to call it in messages.
        command: the program and its arguments; it has to stay in the foreground.
        log: file that its output is appended to.
        environment: its whole environment; by default the one of this process.
        user: name of the user to run as; only root can ask for another.
        directory: its working directory.
        stop_signal: what asks it to end in an orderly way.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
        directory: Path | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._environment = environment
        self._user = user
        self._directory = directory
        self._stop_signal = stop_signal
        self._child: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def pid(self) -> int:
        """The process id of the child that was started last; ServerError before the first start."""
        if self._child is None:
            raise ServerError(f"{self.name} was not started")
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether the child is alive."""
        return self._child is not None and self._child.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How the child ended (minus the signal's number when it was killed), or None."""
        return None if self._child is None else self._child.poll()

    def launch(self) -> None:
        """Starts the child and returns at once; does nothing while it is running.

        Whatever an earlier owner has left running in its place is ended first.
        """
        if self.running:
            return
        self.end_earlier()
        self._child = _from_lasting_thread(self._spawn)
        self._pid_file.write_text(str(Process.of(self._child.pid)))

    def wait_until_ready(self, ready: Callable[[], bool], deadline: float = READY_AFTER) -> None:
        """Returns as soon as `ready` says so.

        Args:
            ready: asked again and again; must itself return within a second or so.
            deadline: seconds until it is given up and killed.

        Raises:
            ServerError: the child has ended, or the deadline has passed; with the end of its log.
        """
        end = time.monotonic() + deadline
        while not ready():
            if not self.running:
                raise ServerError(f"{self.name} ended while starting (exit code {self.exit_code})\n{self.last_lines()}")
            if time.monotonic() > end:
                self.kill()
                raise ServerError(f"{self.name} was not ready after {deadline:.0f} s\n{self.last_lines()}")
            time.sleep(0.02)

    def terminate(self) -> None:
        """Asks the child to end, and does not wait for it."""
        if self.running:
            os.kill(self.pid, self._stop_signal)
            self.resume()

    def stop(self, deadline: float = 10.0) -> None:
        """Ends the child and everything below it: in an orderly way, or after `deadline` seconds by force."""
        if self._child is None:
            return
        below = descendants(self.pid)
        self.terminate()
        try:
            self._child.wait(deadline)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        wait_until_gone(below)
        self._pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """Kills the child (SIGKILL), and waits until everything below it has gone too."""
        if self._child is None:
            return
        below = descendants(self.pid)
        self._child.kill()
        self._child.wait()
        wait_until_gone(below)

    def pause(self) -> None:
        """Freezes the child and everything below it (SIGSTOP): connections stay open and nothing answers."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a paused child go on (SIGCONT)."""
        self._signal_all(signal.SIGCONT)

    def last_lines(self, count: int = 20) -> str:
        """The end of what it has logged since it was started last."""
        if not self.log.exists():
            return ""
        text = self.log.read_bytes()[self._log_start :].decode(errors="replace")
        return "\n".join(text.splitlines()[-count:])

    def end_earlier(self) -> None:
        """Ends the child of an earlier owner, where one was left behind (no setpriv, or the owner was killed)."""
        if not self._pid_file.exists():
            return
        earlier = Process.parse(self._pid_file.read_text())
        if earlier is not None and earlier.alive:
            left = [*descendants(earlier.pid), earlier]
            earlier.signal(self._stop_signal)
            wait_until_gone(left, 20.0)
        self._pid_file.unlink(missing_ok=True)

    @property
    def _pid_file(self) -> Path:
        return self.log.with_suffix(".pid")

    def _signal_all(self, number: signal.Signals) -> None:
        if self.running:
            below = descendants(self.pid)
            os.kill(self.pid, number)
            for process in below:
                process.signal(number)

    def _spawn(self) -> subprocess.Popen[bytes]:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))
        setpriv = shutil.which("setpriv")
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            try:
                return subprocess.Popen(
                    [setpriv, "--pdeathsig", "KILL", *self._command] if setpriv else self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self._environment,
                    cwd=self._directory,
                    user=self._user,
                    group=None if self._user is None else pwd.getpwnam(self._user).pw_gid,
                    extra_groups=None if self._user is None else [],
                    start_new_session=True,  # Ctrl-C in the terminal reaches the owner only, which stops in order
                )
            except OSError as error:
                raise ServerError(f"{self.name} can't be started: {error}") from error


Order = tuple[Callable[[], "subprocess.Popen[bytes]"], "Future[subprocess.Popen[bytes]]"]


def _from_lasting_thread(start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    """Runs `start` in a thread that lives as long as this process.

    Linux sends the parent-death signal when the thread that forked has ended, not the process: a server that was
    started from a worker thread would be killed together with that thread.
    """
    result: Future[subprocess.Popen[bytes]] = Future()
    _orders(os.getpid()).put((start, result))
    return result.result()


@cache
def _orders(owner: int) -> "queue.SimpleQueue[Order]":
    """The queue of the lasting thread of process `owner` (a forked process has lost its parent's threads)."""
    orders: queue.SimpleQueue[Order] = queue.SimpleQueue()

    def serve() -> None:
        while True:
            start, result = orders.get()
            try:
                result.set_result(start())
            except Exception as error:  # noqa: BLE001 - whatever it is belongs to the caller
                result.set_exception(error)

    threading.Thread(target=serve, name=f"server-starter-{owner}", daemon=True).start()
    return orders
