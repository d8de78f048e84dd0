"""A PostgreSQL that follows another one, and takes its place when it is told to."""

import pwd
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from deploy.servers import PostgresServer
from deploy.servers.places import write_private
from shared.settings import environment
from tests.faults.promises import connected
from tests.support.waiting import eventually

_SECONDS = 30.0


class StandbyServer(PostgresServer):
    """A streaming standby of `primary`, made by pg_basebackup when it is started first."""

    def __init__(self, directory: Path, primary: PostgresServer) -> None:
        """`primary` has to run when this is started first."""
        super().__init__(directory)
        self._primary = primary
        write_private(directory / "password", primary.password)  # the superuser comes with the data

    def _make_cluster(self, programs: Path, place: Path, user: str | None) -> None:
        parts = urlsplit(self._primary.url)
        command = [str(programs / "pg_basebackup"), "-D", str(place / "cluster"), "-R", "-X", "stream", "-c", "fast"]
        command += ["-C", "-S", f"standby_{self.port}", "-w"]
        command += ["-h", str(parts.hostname), "-p", str(parts.port), "-U", str(parts.username)]
        subprocess.run(
            command,
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=place,
            env={**environment(), "PGPASSWORD": self._primary.password},
            user=user,
            group=None if user is None else pwd.getpwnam(user).pw_gid,
            extra_groups=None if user is None else [],
            timeout=_SECONDS,
        )


async def wait_for_standby(primary_url: str) -> None:
    """Have every commit wait until the standby has it too; returns once it follows."""
    async with connected(primary_url) as connection:

        async def is_synchronous() -> bool | None:
            state = await connection.fetchval("SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming'")
            return True if state == "sync" else None

        await connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        await connection.execute("SELECT pg_reload_conf()")
        await eventually(is_synchronous, _SECONDS, "the standby follows")


async def promote(standby_url: str) -> None:
    """Make the standby the primary; returns when it can be written to."""
    async with connected(standby_url) as connection:
        assert await connection.fetchval("SELECT pg_promote(true, 30)")
