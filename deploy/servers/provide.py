"""The three servers from wherever this machine has them: given, installed, installable, or in containers."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from deploy.servers import docker, packages, places
from deploy.servers.errors import ServerError
from deploy.servers.postgres import PostgresServer, find_postgres
from deploy.servers.rabbitmq import RabbitServer, find_rabbitmq
from deploy.servers.redis import RedisServer, find_redis

Report = Callable[[str], None]
FINDERS: dict[str, Callable[[], object]] = {
    "rabbitmq": find_rabbitmq,
    "redis": find_redis,
    "postgresql": find_postgres,
}


@dataclass(frozen=True)
class ServerNames:
    """The environment variables that may name servers which exist already."""

    postgres: str = "DRAGOMAN_POSTGRES_URL"
    redis: str = "DRAGOMAN_REDIS_URL"
    rabbitmq: str = "DRAGOMAN_RABBITMQ_URL"

    def by_server(self) -> dict[str, str]:
        """The variables by the name of the server; the one that takes longest to start is the first."""
        return {"rabbitmq": self.rabbitmq, "redis": self.redis, "postgresql": self.postgres}


class Provided(Protocol):
    """One server that was started here."""

    @property
    def url(self) -> str:
        """Known from the launch on."""

    def launch(self) -> None:
        """Starts it and does not wait."""

    def wait_until_ready(self) -> None:
        """Returns when clients can connect."""

    def stop(self) -> None:
        """Ends it; its data stays."""


@dataclass
class Servers:
    """Three addresses, and the servers behind them that have to be stopped again."""

    urls: dict[str, str]
    report: Report
    cleanup: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _started: dict[str, Provided] = field(default_factory=dict)
    _since: float = field(default_factory=time.monotonic)

    @property
    def postgres_url(self) -> str:
        """The superuser's URL; of a server started here to the database `postgres`."""
        return self.urls["postgresql"]

    @property
    def redis_url(self) -> str:
        """Redis, database 0."""
        return self.urls["redis"]

    @property
    def rabbitmq_url(self) -> str:
        """The administrator's URL to the virtual host `/`."""
        return self.urls["rabbitmq"]

    @property
    def rabbitmq_is_ours(self) -> bool:
        """Whether the broker was started here, and so has loaded the definitions."""
        return "rabbitmq" in self._started

    def launch(self, name: str, server: Provided) -> None:
        """Starts one server, which `stop` stops again."""
        self._started[name] = server
        self.cleanup.callback(server.stop)
        server.launch()
        self.urls[name] = server.url
        self.report(f"{name} is starting")

    def wait_until_ready(self, *names: str) -> None:
        """Returns when the named servers (by default all) accept clients; raises ServerError when one does not."""
        for name in names or ("postgresql", "redis", "rabbitmq"):
            if name in self._started:
                self._started[name].wait_until_ready()
                self.report(f"{name} is ready ({time.monotonic() - self._since:.1f} s)")

    def stop(self) -> None:
        """Stops what was started here; may be called twice."""
        self.cleanup.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def provide(
    directory: Path,
    environment: Mapping[str, str],
    names: ServerNames,
    report: Report,
    *,
    rabbitmq_definitions: dict[str, object] | None = None,
    fast: bool = False,
) -> Servers:
    """Provides PostgreSQL, Redis and RabbitMQ, and returns when all three accept clients.

    Args:
        directory: where servers that are started here keep data, ports and passwords from one run to the next.
        environment: looked at for URLs of servers that exist already; each of the three by itself.
        names: the variables that hold them.
        report: receives one line for each step.
        rabbitmq_definitions: what a broker that is started here loads; see RabbitServer.
        fast: for tests: nothing is durable, and `stop` removes the directory.

    Raises:
        ServerError: a server is missing or does not start, or another run uses the directory.
    """
    servers = launch(directory, environment, names, report, rabbitmq_definitions=rabbitmq_definitions, fast=fast)
    with _stopping_on_error(servers):
        servers.wait_until_ready()
    return servers


def launch(
    directory: Path,
    environment: Mapping[str, str],
    names: ServerNames,
    report: Report,
    *,
    rabbitmq_definitions: dict[str, object] | None = None,
    fast: bool = False,
) -> Servers:
    """Does what `provide` does without waiting: the URLs are known, and `Servers.wait_until_ready` is for later."""
    variables = names.by_server()
    given = {name: environment[variable] for name, variable in variables.items() if environment.get(variable)}
    servers = Servers(given, report)
    wanted = {name: variable for name, variable in variables.items() if name not in given}
    if not wanted:
        return servers
    with _stopping_on_error(servers):
        servers.cleanup.enter_context(places.locked(directory))
        if fast:
            servers.cleanup.callback(_remove, directory)
        missing = _missing(wanted, report)
        private: dict[str, Callable[[], Provided]] = {
            "rabbitmq": lambda: RabbitServer(directory / "rabbitmq", definitions=rabbitmq_definitions, fast=fast),
            "redis": lambda: RedisServer(directory / "redis", fast=fast),
            "postgresql": lambda: PostgresServer(directory / "postgresql", fast=fast),
        }
        contained = docker.containers(missing, directory, rabbitmq_definitions, fast=fast) if missing else {}
        for name in wanted:
            servers.launch(name, contained[name] if name in contained else private[name]())
    return servers


def remove(directory: Path) -> None:
    """Removes all that the servers of a directory have kept; ServerError while a run uses it."""
    if directory.exists():
        with places.locked(directory):
            _remove(directory)


def _missing(wanted: Mapping[str, str], report: Report) -> list[str]:
    """The servers that have to run in containers, after an attempt to install them; `wanted` gives their variables."""
    missing = [name for name in wanted if not FINDERS[name]()]
    if missing and packages.can_install():
        report(f"installing {', '.join(missing)} from the distribution's packages (half a minute or so)")
        packages.install(missing)
        missing = [name for name in wanted if not FINDERS[name]()]
    if missing and not docker.answers():
        variables = ", ".join(wanted[name] for name in missing)
        raise ServerError(f"{', '.join(missing)} not found: install what is missing, start Docker, or set {variables}")
    return missing


def _remove(directory: Path) -> None:
    docker.remove(directory)
    places.remove(directory)


@contextlib.contextmanager
def _stopping_on_error(servers: Servers) -> Iterator[None]:
    try:
        yield
    except BaseException:
        servers.stop()
        raise
