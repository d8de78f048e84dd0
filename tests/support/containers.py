"""The servers of a test run as containers, where a Docker engine answers."""

import json
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from shared.settings import environment
from tests.support.urls import ServerUrls


def engine_answers() -> bool:
    """Whether a Docker engine listens where DOCKER_HOST, or its default, says."""
    parts = urlsplit(environment().get("DOCKER_HOST", "unix:///var/run/docker.sock"))
    unix = parts.scheme == "unix"
    address = parts.path if unix else (parts.hostname or "", parts.port or 2375)
    with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(address) == 0


@contextmanager
def servers(definitions: dict[str, object], password: str) -> Iterator[ServerUrls]:
    """Run PostgreSQL, Redis and RabbitMQ with throw-away data while inside."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        (folder / "definitions.json").write_text(json.dumps(definitions))
        (folder / "20-definitions.conf").write_text("load_definitions = /etc/dragoman/definitions.json\n")
        postgres = (
            DockerContainer("postgres:15")
            .with_env("POSTGRES_PASSWORD", password)
            .with_exposed_ports(5432)
            .waiting_for(LogMessageWaitStrategy("listening on IPv4 address"))
        )
        redis = (
            DockerContainer("redis:7.0")
            .with_exposed_ports(6379)
            .waiting_for(LogMessageWaitStrategy("Ready to accept connections"))
        )
        rabbitmq = (
            DockerContainer("rabbitmq:3.10")
            .with_volume_mapping(str(folder), "/etc/dragoman", "ro")
            .with_env("RABBITMQ_CONFIG_FILE", "/etc/dragoman/20-definitions.conf")
            .with_exposed_ports(5672)
            .waiting_for(LogMessageWaitStrategy("Server startup complete"))
        )
        for container in (postgres, redis, rabbitmq):
            stack.enter_context(container)
        yield ServerUrls(
            f"postgresql://postgres:{password}@{_address(postgres, 5432)}/postgres",
            f"redis://{_address(redis, 6379)}/0",
            f"amqp://admin:{password}@{_address(rabbitmq, 5672)}/",
        )


def _address(container: DockerContainer, port: int) -> str:
    return f"{container.get_container_host_ip()}:{container.get_exposed_port(port)}"
