"""A private PostgreSQL."""

import os
import pwd
import re
import shutil
import signal
import subprocess
from pathlib import Path

from deploy.servers.errors import ServerError
from deploy.servers.places import folder_for, write_private
from deploy.servers.probes import postgres_answers
from deploy.servers.process import ServerProcess
from deploy.servers.processes import Process
from deploy.servers.server import Server

FOLDERS = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "opt/homebrew/opt/postgresql@*/bin")
OPTIONS = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "300", "timezone": "UTC"}
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def find_postgres() -> dict[str, Path]:
    """The folders with PostgreSQL's programs by major version, the newest first."""
    places = [place for pattern in FOLDERS for place in Path("/").glob(pattern)]
    places += [Path(place) for place in os.environ.get("PATH", "").split(os.pathsep) if place]
    found: dict[str, Path] = {}
    for place in places:
        if os.access(place / "initdb", os.X_OK) and os.access(place / "postgres", os.X_OK):
            answer = subprocess.run(
                [place / "postgres", "--version"], check=False, capture_output=True, text=True
            ).stdout
            if version := re.search(r"\d+", answer):
                found.setdefault(version[0], place)
    return dict(sorted(found.items(), key=lambda item: -int(item[0])))


class PostgresServer(Server):
    """PostgreSQL with a superuser `postgres`, over TCP with a password; durable unless it is `fast`.

    PostgreSQL refuses to run as root: it then runs as the user `postgres`, or `nobody` where there is none.
    """

    name = "postgresql"

    @property
    def url(self) -> str:
        """Where clients connect as the superuser: the database `postgres`."""
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/postgres"

    def _prepare(self) -> ServerProcess:
        user = _unprivileged_user() if os.getuid() == 0 else None
        data = self.directory / "data"
        place = folder_for(user or pwd.getpwuid(os.getuid()).pw_name, data)
        cluster = place / "cluster"
        programs = self._programs(cluster)
        if not cluster.exists():
            self._make_cluster(programs, place, user)
        _remove_stale_lock(cluster / "postmaster.pid")
        options = OPTIONS | {"port": str(self.port)} | (FAST if self._fast else {})
        arguments = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return ServerProcess(
            self.name,
            [str(programs / "postgres"), "-D", str(cluster), *arguments],
            self._log,
            user=user,
            directory=place,
            stop_signal=signal.SIGINT,  # PostgreSQL's "fast": it does not wait for clients to leave
        )

    def _ready(self) -> bool:
        return postgres_answers(self.port)

    def _programs(self, cluster: Path) -> Path:
        installed = find_postgres()
        if not installed:
            raise ServerError("postgresql is not installed")
        if not cluster.exists():
            return next(iter(installed.values()))
        version = (cluster / "PG_VERSION").read_text().strip()
        if version not in installed:
            raise ServerError(
                f"{cluster} was made by postgresql {version}, which is not installed: install it, or run `make clean`"
            )
        return installed[version]

    def _make_cluster(self, programs: Path, place: Path, user: str | None) -> None:
        fresh, password = place / "fresh", place / "password"
        shutil.rmtree(fresh, ignore_errors=True)  # of a run that was killed half-way
        write_private(password, self.password)
        if user is not None:
            shutil.chown(password, user)
        command = [str(programs / "initdb"), "-D", str(fresh), "--username=postgres", f"--pwfile={password}"]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--no-locale"]
        result = subprocess.run(
            [*command, "--no-sync"] if self._fast else command,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=place,
            user=user,
            group=None if user is None else pwd.getpwnam(user).pw_gid,
            extra_groups=None if user is None else [],
        )
        password.unlink()
        if result.returncode != 0:
            raise ServerError(f"initdb failed\n{result.stderr.strip()}")
        fresh.rename(place / "cluster")


def _remove_stale_lock(lock: Path) -> None:
    """Removes the lock of a server that was killed together with its owner.

    PostgreSQL itself takes a zombie for a running server, and in a container without an init zombies stay.
    """
    if lock.exists() and not Process.of(int(lock.read_text().split()[0])).alive:
        lock.unlink()


def _unprivileged_user() -> str:
    names = {account.pw_name for account in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in names:
            return name
    raise ServerError("postgresql can't run as root, and there is no user postgres or nobody to run it")
