"""A Redis master with replicas, and the sentinels that watch them, as private processes."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import Redis

from deploy.servers import RedisServer
from deploy.servers.places import write_private
from deploy.servers.process import ServerProcess
from deploy.servers.redis import find_redis
from shared.entropy import SystemEntropy
from tests.support.waiting import eventually

MASTER = "dragoman"
DOWN_AFTER_SECONDS = 1.0
"""How long a master must be silent before the sentinels give it up, unless a test says otherwise."""


class Node(RedisServer):
    """A master or a replica, all with one password; `master` is whom it follows when it starts."""

    def __init__(self, directory: Path, password: str, master: "Node | None" = None, *, more: str = "") -> None:
        super().__init__(directory, fast=True)
        write_private(self.directory / "password", password)
        self._more = more + (f"replicaof 127.0.0.1 {master.port}\n" if master is not None else "")

    def _ready(self) -> bool:
        """Whether clients are let in, and a replica is in step: sentinels ask that only every ten seconds."""
        if not super()._ready():
            return False
        with Redis.from_url(self.url, socket_timeout=1.0) as client:
            return bool(client.info("replication").get("master_link_status", "up") == "up")

    def _prepare(self) -> ServerProcess:
        process = super()._prepare()
        with (self.directory / "redis.conf").open("a") as configuration:
            # Without the delay a replica is in step at once.
            configuration.write(f"masterauth {self.password}\nrepl-diskless-sync-delay 0\n{self._more}")
        return process


class SentinelNode(RedisServer):
    """A sentinel that watches the master at one port of 127.0.0.1, under the password that is the sentinel's too."""

    def __init__(
        self, directory: Path, password: str, port: int, *, quorum: int, down_after: float, more: str = ""
    ) -> None:
        super().__init__(directory, fast=True)
        write_private(self.directory / "password", password)
        self._watched = port
        self._quorum = quorum
        self._down_after = down_after
        self._more = more

    def _prepare(self) -> ServerProcess:
        program = find_redis()
        assert program is not None, "redis is not installed"
        configuration = self.directory / "sentinel.conf"
        lines = (
            f"port {self.port}",
            "bind 127.0.0.1",
            f"requirepass {self.password}",
            f"sentinel monitor {MASTER} 127.0.0.1 {self._watched} {self._quorum}",
            f"sentinel auth-pass {MASTER} {self.password}",
            f"sentinel down-after-milliseconds {MASTER} {self._down_after * 1000:.0f}",
            f"sentinel failover-timeout {MASTER} 10000",
            self._more,
        )
        write_private(configuration, "\n".join(lines))
        command = [program, str(configuration), "--sentinel"]
        return ServerProcess("sentinel", command, self._log, directory=self.directory)


@dataclass(frozen=True)
class Watched:
    """The nodes, of which the first was the master at the beginning, and their sentinels."""

    nodes: list[Node]
    sentinels: list[SentinelNode]

    @property
    def url(self) -> str:
        """Where clients find the master."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://:{self.nodes[0].password}@{hosts}/{MASTER}"

    def master(self) -> Node | None:
        """The node that the first sentinel that answers calls the master."""
        for sentinel in self.sentinels:
            if sentinel.process.running:
                with Redis.from_url(sentinel.url, socket_timeout=1.0) as client:
                    _, port = client.sentinel_get_master_addr_by_name(MASTER)
                return next(node for node in self.nodes if node.port == port)
        return None

    async def ready(self, replicas: int, seconds: float = 60.0) -> None:
        """Return once each sentinel knows the others, and so many replicas of the master that are in step with it."""

        async def is_ready() -> bool | None:
            return True if all(self._is_ready(sentinel, replicas) for sentinel in self.sentinels) else None

        await eventually(is_ready, seconds, "the sentinels know each other and the replicas are in step")

    def _is_ready(self, sentinel: SentinelNode, replicas: int) -> bool:
        with Redis.from_url(sentinel.url, socket_timeout=1.0) as client:
            others = client.sentinel_master(MASTER)["num-other-sentinels"]
            known = [one for one in client.sentinel_slaves(MASTER) if one["master-link-status"] == "ok"]
        return others == len(self.sentinels) - 1 and len(known) >= replicas


@contextmanager
def sentinels(
    home: Path, *, replicas: int = 2, watchers: int = 3, down_after: float = DOWN_AFTER_SECONDS
) -> Iterator[Watched]:
    """A master, its replicas and their sentinels run while inside; `ready` tells when they have found each other."""
    password = SystemEntropy().token_bytes(20).hex()
    with ExitStack() as stack:
        nodes = [Node(home / "node-1", password)]
        _start(stack, nodes[0])
        for number in range(replicas):
            nodes.append(Node(home / f"node-{number + 2}", password, nodes[0]))
            _start(stack, nodes[-1])
        watching: list[SentinelNode] = []
        for number in range(watchers):
            sentinel = SentinelNode(
                home / f"sentinel-{number + 1}",
                password,
                nodes[0].port,
                quorum=watchers // 2 + 1,
                down_after=down_after,
            )
            watching.append(sentinel)
            _start(stack, sentinel)
        yield Watched(nodes, watching)


def _start(stack: ExitStack, server: RedisServer) -> None:
    stack.callback(server.stop)
    server.start()
