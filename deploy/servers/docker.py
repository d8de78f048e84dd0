"""The servers in containers, for machines that have a Docker engine and nothing else."""

import hashlib
import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.servers.errors import ServerError
from deploy.servers.places import kept, kept_port
from deploy.servers.probes import postgres_answers, rabbitmq_answers, redis_answers
from deploy.servers.process import READY_AFTER
from deploy.servers.rabbitmq import ADMINISTRATOR, rabbitmq_configuration, with_administrator
from deploy.servers.redis import redis_configuration

COMPOSE_FILE = Path(__file__).parent.parent / "compose.servers.yaml"


def answers() -> bool:
    """Whether there is a Docker engine with compose."""
    return shutil.which("docker") is not None and all(
        subprocess.run(["docker", *command], check=False, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0
        for command in (["info"], ["compose", "version"])
    )


@dataclass(frozen=True)
class Container:
    """One service of the compose file, on a port of 127.0.0.1."""

    name: str
    project: str
    url: str
    environment: dict[str, str]
    ready: Callable[[], bool]

    def launch(self) -> None:
        """Starts the container, on the data and in the place of one that an earlier run has left."""
        self._compose("up", "--detach", "--no-deps", self.name)

    def wait_until_ready(self) -> None:
        """Returns when clients can connect; ServerError with the end of its log after two minutes."""
        end = time.monotonic() + READY_AFTER
        while not self.ready():
            if time.monotonic() > end:
                log = self._compose("logs", "--no-color", "--tail=20", self.name)
                raise ServerError(f"the container of {self.name} was not ready after {READY_AFTER:.0f} s\n{log}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Removes the container; its volume stays."""
        self._compose("rm", "--force", "--stop", self.name)

    def remove_all(self) -> None:
        """Removes the containers and volumes of all servers of the same directory."""
        self._compose("down", "--volumes")

    def _compose(self, *arguments: str) -> str:
        if shutil.which("docker") is None:
            raise ServerError(f"docker, which has the data of {self.name}, is not installed")
        result = subprocess.run(
            ["docker", "compose", "--project-name", self.project, "--file", str(COMPOSE_FILE), *arguments],
            check=False,
            env=os.environ | self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if result.returncode != 0:
            raise ServerError(f"docker compose {arguments[0]} failed for {self.name}\n{result.stderr.strip()}")
        return result.stdout


def remove(directory: Path) -> None:
    """Removes the containers and volumes of a directory, if it has any."""
    if _folder(directory).exists():
        containers(["postgresql"], directory, None, fast=False)["postgresql"].remove_all()


def containers(
    names: Sequence[str], directory: Path, definitions: dict[str, object] | None, *, fast: bool
) -> dict[str, Container]:
    """The named servers as containers, not yet started; arguments as for `provide`."""
    folder = _folder(directory)
    project = f"dragoman-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]}"
    password = kept(folder / "password", lambda: secrets.token_urlsafe(24))
    ports = {name: kept_port(folder / f"{name}.port") for name in ("postgresql", "redis", "rabbitmq")}
    durable = "off" if fast else "on"
    environment = {
        "DRAGOMAN_SERVERS_PASSWORD": password,
        "DRAGOMAN_SERVERS_DURABLE": durable,
        "DRAGOMAN_SERVERS_POSTGRESQL_PORT": str(ports["postgresql"]),
        "DRAGOMAN_SERVERS_REDIS_PORT": str(ports["redis"]),
        "DRAGOMAN_SERVERS_RABBITMQ_PORT": str(ports["rabbitmq"]),
        "DRAGOMAN_SERVERS_REDIS_CONFIGURATION": redis_configuration(6379, password, "0.0.0.0", durable=not fast),
        "DRAGOMAN_SERVERS_RABBITMQ_CONFIGURATION": rabbitmq_configuration("5672", Path("/etc/rabbitmq/dragoman.json")),
        "DRAGOMAN_SERVERS_RABBITMQ_DEFINITIONS": json.dumps(with_administrator(definitions, password)),
    }
    servers: dict[str, tuple[str, Callable[[], bool]]] = {
        "postgresql": (
            f"postgresql://postgres:{password}@127.0.0.1:{ports['postgresql']}/postgres",
            lambda: postgres_answers(ports["postgresql"]),
        ),
        "redis": (
            f"redis://:{password}@127.0.0.1:{ports['redis']}/0",
            lambda: redis_answers(ports["redis"], password),
        ),
        "rabbitmq": (
            f"amqp://{ADMINISTRATOR}:{password}@127.0.0.1:{ports['rabbitmq']}/",
            lambda: rabbitmq_answers(ports["rabbitmq"]),
        ),
    }
    return {name: Container(name, project, servers[name][0], environment, servers[name][1]) for name in names}


def _folder(directory: Path) -> Path:
    return directory.absolute() / "docker"
