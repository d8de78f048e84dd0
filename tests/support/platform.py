"""The platform as real processes: components in as many replicas as asked, the inbox, and the operators' commands."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from aiohttp import ClientError, ClientSession, ClientTimeout

from deploy.running.components import program
from deploy.running.environment import (
    BROKER_USERS,
    COMPONENTS,
    SERVICES,
    Ports,
    Secrets,
    component_environment,
    rabbitmq_urls,
    with_user,
)
from deploy.servers.process import ServerProcess
from shared.settings import environment
from tests.support.urls import ServerUrls
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
ISSUER = "https://id.example.com"
START_SECONDS = 60.0
_INBOX = ("-m", "deploy.inbox", "--http-port", "0", "--smtp-port", "0")


@dataclass(frozen=True)
class Replica:
    """One process of a component, and its log."""

    name: str
    process: ServerProcess

    def lines(self) -> list[dict[str, Any]]:
        """All lines that it has logged, each of which has to be a JSON object."""
        whole, _, _ = self.text().rpartition("\n")  # the last one may be half-written
        return [self._parsed(line) for line in whole.splitlines()]

    def text(self) -> str:
        """All that it has written."""
        return self.process.log.read_text()

    async def logged(self, event: str) -> dict[str, Any]:
        """The first line about `event`, awaited."""

        async def find() -> dict[str, Any] | None:
            if not self.process.running and not any(line["event"] == event for line in self.lines()):
                raise AssertionError(f"{self.name} has ended ({self.process.exit_code})\n{self.process.last_lines()}")
            return next((line for line in self.lines() if line["event"] == event), None)

        return await eventually(find, START_SECONDS, f"{self.name} logs {event!r}")

    async def ready(self) -> None:
        """Return once its readiness address answers 200."""
        port = (await self.logged("admin port open"))["port"]
        async with ClientSession(timeout=ClientTimeout(2.0)) as http:

            async def is_ready() -> bool | None:
                try:
                    async with http.get(f"http://127.0.0.1:{port}/readyz") as answer:
                        return True if answer.status == 200 else None
                except (ClientError, TimeoutError):
                    assert self.process.running, self.process.last_lines()
                    return None

            await eventually(is_ready, START_SECONDS, f"{self.name} is ready")

    async def ended(self, seconds: float = 15.0) -> int:
        """Its exit status, awaited."""

        async def status() -> int | None:
            return self.process.exit_code

        return await eventually(status, seconds, f"{self.name} ends")

    def _parsed(self, line: str) -> dict[str, Any]:
        try:
            parsed = json.loads(line)
        except ValueError:
            parsed = None
        assert isinstance(parsed, dict), f"{self.name} logged what is no JSON object: {line}"
        return parsed


class Platform:
    """Starts, kills and counts the processes of one platform. `close` ends all that it has started."""

    def __init__(
        self,
        directory: Path,
        urls: ServerUrls,
        *,
        corner: str,
        password: str,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """`urls` name the database and the virtual host to use; `corner` tells roles and keys apart from others'.

        `password` is that of each component's user on the broker, and of each role that is made. `settings` come on
        top of the platform's own, for every component and for the operators' commands.
        """
        self._directory = directory
        self._urls = urls
        self._corner = corner
        self._password = password
        self._settings = settings or {}
        self._numbers = count(1)
        self.every: list[Replica] = []
        """Every process there has been, for its log."""

    def start(self, name: str, **settings: str) -> Replica:
        """Start one more replica of a component, or `all` of them in one process, and do not wait for it.

        `settings` come on top of the platform's own.
        """
        is_service = name in SERVICES
        command = [sys.executable, "-m", f"services.{name}"] if is_service else [program("dragoman"), name]
        return self._launch(name, command, self.environment | settings)

    def replicas(self, name: str) -> list[Replica]:
        """The replicas of a component that run."""
        return [replica for replica in self.every if replica.name == name and replica.process.running]

    async def bring(self, replicas: int = 1) -> None:
        """Have exactly so many replicas of each service, and one gateway; returns when all are ready."""
        for name in COMPONENTS:
            wanted = 1 if name == "gateway" else replicas
            running = self.replicas(name)
            for surplus in running[wanted:]:
                await asyncio.to_thread(surplus.process.stop)
            for _ in range(wanted - len(running)):
                self.start(name)
        for name in COMPONENTS:
            for replica in self.replicas(name):
                await replica.ready()

    async def migrate(self) -> None:
        """Bring the database up to date."""
        await self.run(program("dragoman"), "migrate")

    async def load_demo(self) -> None:
        """Load the demo data."""
        await self.run(sys.executable, "-m", "deploy.demo")

    async def run(self, *command: str) -> str:
        """Run an operator's command to its end; its output. It has to succeed."""
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            env=_outside() | self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), START_SECONDS)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, output.decode()
        return output.decode()

    def end(self, *names: str) -> None:
        """Ask the replicas of these components (by default of all) to end, and wait until they have."""
        ending = [replica for replica in self.every if replica.name in (names or (*COMPONENTS, "all"))]
        for replica in ending:
            replica.process.terminate()
        for replica in ending:
            replica.process.stop()

    def close(self) -> None:
        """Kill whatever still runs."""
        for replica in self.every:
            replica.process.kill()

    @property
    def refusals(self) -> list[str]:
        """Why the gateway has answered 500 or 503, to be read when a test fails."""
        lines = [line for replica in self.every if replica.name in ("gateway", "all") for line in replica.lines()]
        return [json.dumps(line) for line in lines if line.get("status", 200) >= 500]

    @property
    def url(self) -> str:
        """Where clients reach the gateway that was started last."""
        return _listening(next(replica for replica in reversed(self.every) if replica.name in ("gateway", "all")))

    @property
    def urls(self) -> list[str]:
        """Where clients reach each gateway that runs."""
        return [_listening(replica) for replica in self.replicas("gateway")]

    @cached_property
    def inbox(self) -> dict[str, str]:
        """The addresses of the inbox, `http` and `smtp`; it starts when they are first asked for."""
        inbox = self._launch("inbox", [sys.executable, *_INBOX], {})
        inbox.process.wait_until_ready(lambda: inbox.text().endswith("\n"), START_SECONDS)
        return dict(part.split("=", 1) for part in inbox.text().split()[1:])

    @cached_property
    def environment(self) -> dict[str, str]:
        """What all components are told: as `make run` tells them, but for names and ports of the test's own."""
        own = {
            "DRAGOMAN_ISSUER": ISSUER,
            "DRAGOMAN_REDIS_PREFIX": f"{self._corner}:",
            "DRAGOMAN_GATEWAY_LIMITS": "off",  # the tests are one client, which asks a lot
            **{
                f"DRAGOMAN_{service.upper()}_POSTGRES_URL": with_user(
                    self._urls.postgres, f"{self._corner}_{service}", self._password
                )
                for service in SERVICES
            },
            **self._settings,
        }
        ports = (urlsplit(self.inbox["http"]).port, urlsplit(self.inbox["smtp"]).port)
        return component_environment(
            own,
            ports=Ports(0, ports[0] or 0, ports[1] or 0, dict.fromkeys(COMPONENTS, 0)),
            passwords=Secrets(self._directory / "secrets"),
            postgres_url=self._urls.postgres,
            redis_url=self._urls.redis,
            rabbitmq_urls=rabbitmq_urls(self._urls.rabbitmq, dict.fromkeys(BROKER_USERS, self._password)),
        )

    def _launch(self, name: str, command: list[str], settings: Mapping[str, str]) -> Replica:
        process = ServerProcess(
            name,
            command,
            self._directory / "log" / f"{name}-{next(self._numbers)}.log",
            environment={**_outside(), **settings, "PYTHONUNBUFFERED": "1"},
            directory=ROOT,
        )
        replica = Replica(name, process)
        self.every.append(replica)
        process.launch()
        return replica


@asynccontextmanager
async def owner_of(platform: Platform) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection to the platform's database, as the role that owns all of it."""
    connection = await asyncpg.connect(platform.environment["DRAGOMAN_POSTGRES_URL"])
    try:
        yield connection
    finally:
        await connection.close()


def at_path(url: str, path: str) -> str:
    """The same URL with another path: another database or virtual host."""
    return urlunsplit(urlsplit(url)._replace(path=path))


def _listening(gateway: Replica) -> str:
    port = next(line["port"] for line in gateway.lines() if line["event"] == "listening")
    return f"http://127.0.0.1:{port}"


def _outside() -> dict[str, str]:
    return {name: value for name, value in environment().items() if not name.startswith("DRAGOMAN_")}
