"""The servers of a test run as private processes of this machine."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.servers.provide import ServerNames, provide
from shared.settings import environment
from tests.support.urls import ServerUrls

NAMES = ServerNames("DRAGOMAN_TEST_POSTGRES_URL", "DRAGOMAN_TEST_REDIS_URL", "DRAGOMAN_TEST_RABBITMQ_URL")


@contextmanager
def servers(directory: Path, definitions: dict[str, object]) -> Iterator[ServerUrls]:
    """Run PostgreSQL, Redis and RabbitMQ with throw-away data while inside."""
    directory.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=directory, prefix="servers-", ignore_cleanup_errors=True) as data,
        provide(Path(data), environment(), NAMES, _quiet, rabbitmq_definitions=definitions, fast=True) as running,
    ):
        yield ServerUrls(running.postgres_url, running.redis_url, running.rabbitmq_url)


def _quiet(_line: str) -> None:
    pass
