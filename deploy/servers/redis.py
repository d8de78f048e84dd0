"""A private Redis (or Valkey, which takes its place under the same protocol)."""

import shutil

from deploy.servers.errors import ServerError
from deploy.servers.places import write_private
from deploy.servers.probes import redis_answers
from deploy.servers.process import ServerProcess
from deploy.servers.server import Server


def find_redis() -> str | None:
    """The server's program on this machine, or None."""
    return shutil.which("redis-server") or shutil.which("valkey-server")


class RedisServer(Server):
    """Redis with a password; keeps an append-only file unless it is `fast`."""

    name = "redis"

    @property
    def url(self) -> str:
        """Where clients connect: database 0."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def _prepare(self) -> ServerProcess:
        program = find_redis()
        if program is None:
            raise ServerError("redis is not installed")
        # A file, not arguments: every user of the machine can read those.
        configuration = self.directory / "redis.conf"
        write_private(configuration, redis_configuration(self.port, self.password, "127.0.0.1", durable=not self._fast))
        return ServerProcess(self.name, [program, str(configuration)], self._log, directory=self.directory)

    def _ready(self) -> bool:
        return redis_answers(self.port, self.password)


def redis_configuration(port: int, password: str, address: str, *, durable: bool) -> str:
    """The text of a redis.conf."""
    return "\n".join(
        (
            f"port {port}",
            f"bind {address}",
            f"requirepass {password}",
            f"appendonly {'yes' if durable else 'no'}",
            'save ""',
            "daemonize no",
            "",
        )
    )
