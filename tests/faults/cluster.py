"""A RabbitMQ cluster of three nodes on this machine, each of which can be killed by itself."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from deploy.servers import RabbitServer
from deploy.servers.places import free_port, write_private
from deploy.servers.process import ServerProcess
from shared.entropy import SystemEntropy

NODES = 3


class ClusterNode(RabbitServer):
    """A node that joins the others; name, cookie, password and epmd are given, since all share or know them."""

    def __init__(self, directory: Path, names: list[str], epmd_port: int, definitions: Mapping[str, Any]) -> None:
        super().__init__(directory, definitions=dict(definitions))
        self._names = names
        self._epmd_port = epmd_port

    def _prepare(self) -> ServerProcess:
        process = super()._prepare()
        with (self.directory / "rabbitmq.conf").open("a") as configuration:
            configuration.write("cluster_formation.peer_discovery_backend = classic_config\n")
            configuration.write("cluster_partition_handling = pause_minority\n")
            for number, name in enumerate(self._names, 1):
                configuration.write(f"cluster_formation.classic_config.nodes.{number} = {name}\n")
        return process


@contextmanager
def rabbitmq_cluster(home: Path, definitions: Mapping[str, Any]) -> Iterator[list[ClusterNode]]:
    """Three nodes that have found each other."""
    entropy = SystemEntropy()
    names = [f"dragoman-{entropy.token_bytes(4).hex()}@localhost" for _ in range(NODES)]
    cookie, password = entropy.token_bytes(20).hex(), entropy.token_bytes(20).hex()
    epmd_port = free_port()
    with ExitStack() as stack:
        nodes: list[ClusterNode] = []
        for number, name in enumerate(names):
            directory = home / f"node-{number}"
            for file, text in (("node", name), (".erlang.cookie", cookie), ("password", password)):
                write_private(directory / file, text)
            node = ClusterNode(directory, names, epmd_port, definitions)
            if nodes:
                node._epmd = nodes[0]._epmd  # one for all, so that they find each other
            nodes.append(node)
            stack.callback(node.stop)
            node.start()  # one after the other: whoever comes later joins those who are there
        yield nodes
