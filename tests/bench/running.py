"""The platform on servers of its own, for measurements."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from deploy.running.database import create_database, in_database
from deploy.running.environment import BROKER_USERS, COMPONENTS
from deploy.servers import PostgresServer, RabbitServer, RedisServer, packages
from deploy.servers.provide import FINDERS
from deploy.servers.server import Server
from shared.bus.permissions import definitions
from tests.support.platform import Platform
from tests.support.urls import ServerUrls

PASSWORD = "for-benchmarks-only"

LIMITS = "; ".join(
    f"{path} address=10000/1 block=0" for path in ("/oauth/v2/token", "/auth/login", "/auth/refresh", "/v1/login")
)
"""Limits that no load reaches, for DRAGOMAN_GATEWAY_LIMITS; each request is still decided on in Redis."""


class BenchPlatform(Platform):
    """A platform that knows the processes of its servers too."""

    def __init__(self, directory: Path, urls: ServerUrls, servers: Mapping[str, Server]) -> None:
        super().__init__(directory, urls, corner="dragoman_bench", password=PASSWORD)
        self._servers = servers

    @property
    def processes(self) -> dict[str, list[int]]:
        """The process ids of each component's replicas and of each server, by name."""
        found = {name: [replica.process.pid for replica in self.replicas(name)] for name in ("gateway", *COMPONENTS)}
        return found | {name: [server.pid] for name, server in self._servers.items()}


@asynccontextmanager
async def running_platform(
    home: Path, replicas: int = 1, settings: Mapping[str, str] | None = None
) -> AsyncIterator[BenchPlatform]:
    """The whole platform with the demo data, on servers that nobody else uses and that keep what they confirm.

    Servers that the machine lacks are installed first. There are no limits unless `settings` say so.
    """
    if missing := [name for name, find in FINDERS.items() if not find()]:
        await asyncio.to_thread(packages.install, missing)
    users = definitions(dict.fromkeys(BROKER_USERS, PASSWORD), ["/"])
    servers = {
        "rabbitmq": RabbitServer(home / "rabbitmq", definitions=users),
        "redis": RedisServer(home / "redis"),
        "postgresql": PostgresServer(home / "postgresql"),
    }
    with ExitStack() as stack:
        for server in servers.values():
            stack.callback(server.stop)
            server.launch()
        for server in servers.values():
            server.wait_until_ready()
        postgres = in_database(servers["postgresql"].url, "dragoman")
        urls = ServerUrls(postgres, servers["redis"].url, servers["rabbitmq"].url)
        await asyncio.to_thread(create_database, urls.postgres)
        platform = BenchPlatform(home / "platform", urls, servers)
        stack.callback(platform.close)
        await platform.migrate()
        platform.environment.update(settings or {})
        await platform.bring(replicas)
        await platform.load_demo()
        yield platform
        platform.end()
