"""The Docker engine: the one that answers, else one that is started here and stopped again."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.servers.process import ServerProcess
from deploy.verify import tools
from deploy.verify.commands import WORK, run, succeeds
from deploy.verify.table import VerifyError

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0


@dataclass(frozen=True)
class Engine:
    """How to speak to it."""

    environment: Mapping[str, str]
    ours: bool

    def docker(self, *arguments: str | Path, seconds: float = 120.0, told: Mapping[str, str] | None = None) -> str:
        """Runs a docker command that is also `told` what stands there; returns its output, or raises VerifyError."""
        return run(["docker", *arguments], seconds=seconds, environment={**self.environment, **(told or {})})

    @property
    def version(self) -> str:
        """The engine's own version."""
        return self.docker("version", "--format", "{{.Server.Version}}").strip()


@contextmanager
def docker_engine() -> Iterator[Engine]:
    """The engine that DOCKER_HOST, the context or the default names; where none answers, one of our own while inside.

    Ours needs root. It keeps its images below .run from one run to the next, and everything else nowhere.
    """
    if shutil.which("docker") is not None and succeeds(["docker", "info"]):
        yield Engine(tools.compose_plugin(), ours=False)
        return
    if os.getuid() != 0:
        raise VerifyError("no Docker engine answers, and to start one takes root")
    if not all(shutil.which(program) for program in ("docker", "dockerd")):
        tools.install("docker")
    with ExitStack() as stack:
        # A short path, since that of a socket has to fit into a hundred characters.
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dragoman-docker-")))
        address = f"unix://{place / 'docker.sock'}"
        engine = Engine({"DOCKER_HOST": address, **tools.compose_plugin()}, ours=True)
        configuration = place / "daemon.json"
        configuration.write_text(json.dumps(_configuration(place, address)))
        daemon = ServerProcess("dockerd", ["dockerd", "--config-file", str(configuration)], WORK / "dockerd.log")
        bridge = Path("/sys/class/net/docker0").exists()
        daemon.launch()
        stack.callback(_clean_up, place, bridge_was_there=bridge)
        stack.callback(daemon.stop, _STOP_SECONDS)
        daemon.wait_until_ready(lambda: succeeds(["docker", "info"], engine.environment), _START_SECONDS)
        yield engine


def _configuration(place: Path, address: str) -> dict[str, object]:
    """For a machine that has neither systemd nor iptables, and beside an engine that is somebody else's."""
    return {
        "hosts": [address],
        "data-root": str(WORK / "docker"),
        "exec-root": str(place / "exec"),
        "pidfile": str(place / "docker.pid"),
        "storage-driver": "overlay2",
        "iptables": False,
        "ip6tables": False,
        "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 20_000, "Hard": 20_000}},
    }


def _clean_up(place: Path, *, bridge_was_there: bool) -> None:
    """Removes what the daemon leaves of itself: the mount of its network, and its bridge."""
    for line in Path("/proc/mounts").read_text().splitlines():
        mounted = line.split()[1]
        if Path(mounted).is_relative_to(place):
            subprocess.run(["umount", mounted], check=False, capture_output=True)
    if not bridge_was_there and shutil.which("ip") is not None:
        subprocess.run(["ip", "link", "delete", "docker0"], check=False, capture_output=True)
