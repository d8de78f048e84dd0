"""deploy/compose.yaml, brought up beside whatever else runs, under a name, on ports and with volumes of its own."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from cli.components import COMPONENTS
from deploy.servers.places import free_port
from deploy.verify.commands import ROOT
from deploy.verify.engine import Engine
from deploy.verify.table import VerifyError

PROJECT = "dragoman-verify"
IMAGE, INBOX_IMAGE = f"{PROJECT}:latest", f"{PROJECT}-inbox:latest"
TASKS = ("secrets", "broker", "migrate", "demo")
"""What does its work and ends."""

STOP_SECONDS = 20.0
"""How long compose.yaml lets a component drain."""

_DEPLOY = ROOT / "deploy"
_UP_SECONDS = 300.0
_BUILD_SECONDS = 900.0
_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Container:
    """One container as Compose lists it."""

    name: str
    service: str
    state: str
    health: str
    exit_code: int

    @property
    def done(self) -> bool:
        """Whether it is as it should be: a task has succeeded, anything else runs and is healthy where it can tell."""
        if self.service in TASKS:
            return self.state == "exited" and self.exit_code == 0
        return self.state == "running" and self.health in {"", "healthy"}

    @property
    def lost(self) -> bool:
        """Whether waiting will not help."""
        return self.state in {"exited", "dead"} and not self.done


def read_containers(listed: str) -> list[Container]:
    """What `docker compose ps --all --format json` says: a JSON document for each line, or one list of them."""
    documents = [json.loads(line) for line in listed.splitlines() if line.strip()]
    if documents and isinstance(documents[0], list):
        documents = documents[0]
    return [
        Container(each["Name"], each["Service"], each["State"], each.get("Health", ""), each.get("ExitCode", 0))
        for each in documents
    ]


@dataclass
class Composed:
    """The platform; every method raises VerifyError when it does not do what it should."""

    engine: Engine
    images: Mapping[str, str]
    gateway_port: int = field(default_factory=free_port)
    inbox_port: int = field(default_factory=free_port)

    @property
    def gateway(self) -> str:
        """Where clients reach it."""
        return f"http://127.0.0.1:{self.gateway_port}"

    @property
    def inbox(self) -> str:
        """Where its messages can be read."""
        return f"http://127.0.0.1:{self.inbox_port}"

    def compose(self, *arguments: str, seconds: float = _UP_SECONDS) -> str:
        """Runs a docker compose command; returns its output."""
        files = ["--file", str(_DEPLOY / "compose.yaml"), "--file", str(_DEPLOY / "verify" / "compose.yaml")]
        told = {
            **self.images,
            "DRAGOMAN_PORT": str(self.gateway_port),
            "DRAGOMAN_INBOX_PORT": str(self.inbox_port),
            "DRAGOMAN_ISSUER": self.gateway,
            "DRAGOMAN_IMAGE": IMAGE,
            "DRAGOMAN_INBOX_IMAGE": INBOX_IMAGE,
        }
        return self.engine.docker("compose", "--project-name", PROJECT, *files, *arguments, seconds=seconds, told=told)

    def build(self) -> None:
        """Builds both images, as `docker compose build` does for everybody."""
        self.compose("build", "--quiet", seconds=_BUILD_SECONDS)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Up while inside; afterwards nothing is left of it but the images."""
        self.remove()  # what a verification that was killed has left
        try:
            yield
        finally:
            self.remove()

    def up(self) -> None:
        """Starts everything, and returns when all of it is healthy and the demo data is there."""
        self.compose("up", "--detach", "--no-build")
        self.wait_until_healthy()

    def remove(self) -> None:
        """Removes its containers, networks and volumes."""
        self.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "5")

    def containers(self) -> list[Container]:
        """All that there are, running or not."""
        return read_containers(self.compose("ps", "--all", "--format", "json"))

    def components(self) -> list[Container]:
        """The containers of the five components."""
        return [container for container in self.containers() if container.service in COMPONENTS]

    def scale(self, service: str, replicas: int) -> None:
        """Starts or stops containers of one service until there are so many, all of them healthy."""
        scale = ["--detach", "--no-build", "--no-deps", "--no-recreate", "--scale", f"{service}={replicas}", service]
        self.compose("up", *scale)
        self.wait_until_healthy({service: replicas})

    def wait_until_healthy(self, replicas: Mapping[str, int] | None = None, seconds: float = 120.0) -> None:
        """Returns when everything is as it should be, and of the named services there are so many containers."""
        end = time.monotonic() + seconds
        while waited := self._not_yet(replicas or {}):
            if time.monotonic() > end:
                raise VerifyError(f"not after {seconds:.0f} s: {', '.join(waited)}")
            time.sleep(_LOOK_SECONDS)

    def _not_yet(self, replicas: Mapping[str, int]) -> list[str]:
        found = self.containers()
        for container in found:
            if container.lost:
                log = self.compose("logs", "--no-color", "--tail", "20", container.service)
                raise VerifyError(f"{container.service} has ended with {container.exit_code}\n{log}")
        waited = [f"{c.name} is {c.health or c.state}" for c in found if not c.done]
        for service, wanted in replicas.items():
            there = sum(container.service == service for container in found)
            if there != wanted:
                waited.append(f"there are {there} of {service} instead of {wanted}")
        return waited if found else ["there is no container"]
