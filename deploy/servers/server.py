"""What the three private servers have in common."""

import secrets
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from deploy.servers.errors import ServerError
from deploy.servers.places import kept, kept_port
from deploy.servers.process import READY_AFTER, ServerProcess

STOPPED_AFTER = 30.0


class Server(ABC):
    """A private server in a folder of its own, on a port of its own on 127.0.0.1, with a generated password.

    Data, port and password stay in the folder and are found again by the next instance made for it. One instance at a
    time may use a folder; `provide` holds a lock for that.

    Args:
        directory: the server's folder; made when absent.
        port: a TCP port; by default a free one.
        fast: for tests: nothing has to survive a power failure.
    """

    name: ClassVar[str]

    def __init__(self, directory: Path, port: int | None = None, *, fast: bool = False) -> None:
        self.directory = directory.absolute()
        self._port = port
        self._fast = fast
        self._process: ServerProcess | None = None

    @property
    def port(self) -> int:
        """The TCP port; ServerError before the first start."""
        if self._port is None:
            raise ServerError(f"{self.name} was not started")
        return self._port

    @property
    def password(self) -> str:
        """The generated password."""
        return kept(self.directory / "password", lambda: secrets.token_urlsafe(24))

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients connect, with the name and password of its administrator."""

    @property
    def process(self) -> ServerProcess:
        """The server's process; ServerError before the first start."""
        if self._process is None:
            raise ServerError(f"{self.name} was not started")
        return self._process

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self.process.pid

    def launch(self) -> None:
        """Starts the server and does not wait until it is ready; its `url` is known from here on."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if self._process is None:
            ServerProcess(self.name, [], self._log).end_earlier()  # it may still hold the port
            self._port = self._port or kept_port(self.directory / "port")
            self._process = self._prepare()
        self._process.launch()

    def wait_until_ready(self, deadline: float = READY_AFTER) -> None:
        """Returns when clients can connect; ServerError when it has ended or the deadline (seconds) has passed."""
        self.process.wait_until_ready(self._ready, deadline)

    def start(self) -> None:
        """Starts the server on its data and port, and returns when clients can connect."""
        self.launch()
        self.wait_until_ready()

    def stop(self) -> None:
        """Ends the server in an orderly way; its data stays."""
        if self._process is not None:
            self._process.stop(STOPPED_AFTER)

    def kill(self) -> None:
        """Kills the server without a warning (SIGKILL); `start` brings it back on the same data and port."""
        self.process.kill()

    def pause(self) -> None:
        """Freezes the server: connections stay open and nothing answers."""
        self.process.pause()

    def resume(self) -> None:
        """Lets a paused server go on."""
        self.process.resume()

    @property
    def _log(self) -> Path:
        return self.directory / f"{self.name}.log"

    @abstractmethod
    def _prepare(self) -> ServerProcess:
        """Writes what the server reads, and says how to start it."""

    @abstractmethod
    def _ready(self) -> bool: ...
