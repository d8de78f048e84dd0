"""The servers of a test run as containers, where a Docker engine answers."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from docker.errors import DockerException  # type: ignore[import-untyped]
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import get_docker_host
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from tests.support import processes
from tests.support.urls import ServerUrls

ROOT = Path(__file__).resolve().parents[2]


def engine_answers() -> bool:
    """Whether a Docker engine listens where DOCKER_HOST, the Docker context or else the default says."""
    parts = urlsplit(get_docker_host() or "unix:///var/run/docker.sock")
    unix = parts.scheme == "unix"
    address = parts.path if unix else (parts.hostname or "", parts.port or 2375)
    with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(address)
        except OSError:
            return False
        return True


@contextmanager
def servers(definitions: dict[str, object], password: str) -> Iterator[ServerUrls]:
    """Run PostgreSQL, Redis and RabbitMQ with throw-away data while inside.

    Where the engine answers but cannot run them, say for want of the images, they are private processes, and a line
    at the end says so.
    """
    with ExitStack() as stack:
        try:
            urls = stack.enter_context(_containers(definitions, password))
        except (DockerException, OSError, RuntimeError) as error:
            reason = str(error).partition("\n")[0]
            # At the end, since pytest hides what is printed while a test is being set up.
            stack.callback(print, f"\nthe servers were private processes, since containers did not start: {reason}")
            urls = stack.enter_context(processes.servers(ROOT / ".run" / "test", definitions))
        yield urls


@contextmanager
def _containers(definitions: dict[str, object], password: str) -> Iterator[ServerUrls]:
    postgres = _container("postgres:15", 5432, "listening on IPv4 address.*ready to accept connections")
    postgres.with_env("POSTGRES_PASSWORD", password)
    postgres.with_command(["postgres", "-c", "max_connections=300", "-c", "fsync=off"])
    redis = _container("redis:7.0", 6379, "Ready to accept connections")
    rabbitmq = _container("rabbitmq:3.10", 5672, "Server startup complete")
    rabbitmq.with_copy_into_container(json.dumps(definitions).encode(), "/etc/rabbitmq/definitions.json")
    rabbitmq.with_copy_into_container(
        b"load_definitions = /etc/rabbitmq/definitions.json\n", "/etc/rabbitmq/conf.d/20-definitions.conf"
    )
    with rabbitmq, redis, postgres:
        yield ServerUrls(
            f"postgresql://postgres:{password}@{_address(postgres, 5432)}/postgres",
            f"redis://{_address(redis, 6379)}/0",
            f"amqp://admin:{password}@{_address(rabbitmq, 5672)}/",
        )


def _container(image: str, port: int, ready: str) -> DockerContainer:
    """A container not yet started, on a free port of this machine, ready when its log matches `ready`."""
    log = LogMessageWaitStrategy(re.compile(ready, re.DOTALL))
    container = DockerContainer(image).waiting_for(log.with_startup_timeout(90).with_poll_interval(0.1))
    container.with_exposed_ports(port)
    if container.get_docker_client().host() == "localhost":
        # The library's own methods publish on all interfaces.
        container.ports[str(port)] = ("127.0.0.1",)  # type: ignore[assignment]
    return container


def _address(container: DockerContainer, port: int) -> str:
    return f"{container.get_container_host_ip()}:{container.get_exposed_port(port)}"
