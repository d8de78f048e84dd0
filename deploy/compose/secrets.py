"""Makes the secrets of deploy/compose.yaml and lays out for each container what it may know, and no more.

    python -m deploy.compose.secrets DIRECTORY

Below the directory lies one folder for each container, each a volume that only this container mounts; the files have
the names that the chart's Secrets have. `made` is what they are put together from: made once, so that a later start
finds the same. It runs as root, since what it writes belongs to others.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from cli.broker import broker_definitions
from deploy.running.environment import BROKER_USERS, SERVICES, Secrets
from deploy.servers.places import write_private
from deploy.servers.redis import redis_configuration
from shared.entropy import SystemEntropy

COMPONENT_USER = 10_001
"""Who the image's processes run as."""

REDIS_COMPONENTS = ("gateway", "token", "identity", "otp")
RABBITMQ_CONFIGURATION = "load_definitions = /run/dragoman/definitions.json\ndisk_free_limit.absolute = 50MB\n"

Files = dict[str, dict[str, str]]
"""The contents of the files, by the folder that they lie in and by their name."""


def component_files(made: Secrets) -> Files:
    """What the components and the commands get; the same whenever it is asked for."""
    urls = {user: f"amqp://{user}:{made.text(f'rabbitmq-{user}')}@rabbitmq:5672/" for user in BROKER_USERS}
    files: Files = {user: {"rabbitmq-url": url} for user, url in urls.items()}
    for component in REDIS_COMPONENTS:
        files[component]["redis-url"] = f"redis://:{made.text('redis')}@redis:6379/0"
    files["migrate"] = {"postgres-url": _postgres_url("postgres", made.text("postgresql"))}
    for service in SERVICES:
        url = _postgres_url(f"dragoman_{service}", made.text(f"postgresql-{service}"))
        files[service]["postgres-url"] = files["migrate"][f"{service}-postgres-url"] = url
    files["token"]["wrapping-key"] = made.text("token-wrapping-key")
    files["token"]["refresh-key"] = made.text("token-refresh-key")
    files["identity"]["secret-key"] = made.text("identity-secret-key")
    files["otp"]["code-key"] = made.text("otp-code-key")
    return files


def server_files(made: Secrets) -> Files:
    """What PostgreSQL, Redis and RabbitMQ read when they start."""
    urls = {
        f"DRAGOMAN_{user.upper()}_RABBITMQ_URL": files["rabbitmq-url"]
        for user, files in component_files(made).items()
        if "rabbitmq-url" in files
    }
    return {
        "postgresql": {"password": made.text("postgresql")},
        "redis": {"redis.conf": redis_configuration(6379, made.text("redis"), "0.0.0.0", durable=True)},
        "rabbitmq": {
            "definitions.json": json.dumps(broker_definitions(urls, SystemEntropy())),
            "rabbitmq.conf": RABBITMQ_CONFIGURATION,
        },
    }


def lay_out(directory: Path, owner: int | None) -> None:
    """Writes all files below `directory`.

    Args:
        directory: where each container's folder is; those that are absent are made.
        owner: the id of the user and group whom the components' files are given to; None leaves them to the caller.
    """
    made = Secrets(directory / "made")
    for folder, files in component_files(made).items():
        for name, text in files.items():
            path = directory / folder / name
            write_private(path, text)
            if owner is not None:
                os.chown(path, owner, owner)
    for folder, files in server_files(made).items():
        for name, text in files.items():
            path = directory / folder / name
            write_private(path, text)
            # Which user id a server's image has, only that image knows; nobody else mounts the volume.
            path.chmod(0o444)


def _postgres_url(user: str, password: str) -> str:
    return f"postgresql://{user}:{password}@postgresql:5432/dragoman"


def main() -> int:
    """Lays out the files below the directory that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m deploy.compose.secrets", description=__doc__)
    parser.add_argument("directory", type=Path)
    lay_out(parser.parse_args().directory, COMPONENT_USER if os.getuid() == 0 else None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
