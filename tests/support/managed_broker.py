"""A broker that can be managed over HTTP, as those of other people can."""

from pathlib import Path

from deploy.servers import RabbitServer
from deploy.servers.places import free_port, write_private
from deploy.servers.process import ServerProcess


class ManagedBroker(RabbitServer):
    """A broker with RabbitMQ's management plugin."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, fast=True)
        self.management_port = free_port()

    @property
    def management_url(self) -> str:
        """Where its administrator manages it."""
        return f"http://dragoman:{self.password}@127.0.0.1:{self.management_port}"

    def _prepare(self) -> ServerProcess:
        process = super()._prepare()
        write_private(self.directory / "enabled_plugins", "[rabbitmq_management].\n")
        configuration = self.directory / "rabbitmq.conf"
        listener = f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {self.management_port}\n"
        write_private(configuration, configuration.read_text() + listener)
        return process
