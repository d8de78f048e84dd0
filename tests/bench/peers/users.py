"""What fastapi-users and the platform both do: GET /users/me."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.servers import PostgresServer
from deploy.servers.places import free_port
from deploy.servers.probes import accepts
from deploy.servers.process import ServerProcess
from shared.settings import environment
from tests.bench.accounting import Accounting
from tests.bench.load import Load, Shot
from tests.bench.operations import PASSWORD, Stage
from tests.bench.peers import platform
from tests.bench.peers.contest import Comparison, Contest, Entry, Options, Side, compare
from tests.bench.peers.installing import python_application
from tests.bench.running import BenchPlatform

NAME = "users-me"
_SOURCE = Path(__file__).with_name("fastapi_users")
_START_SECONDS = 60.0
_DIFFERENCES = (
    "fastapi-users reads the user from PostgreSQL itself; ours asks the service that owns users, over RabbitMQ.",
    "fastapi-users' JWTs are of HS256 and cannot be revoked; ours are of ES256, and can.",
)


@dataclass(frozen=True)
class FastapiUsers:
    """One that runs, and an access token of its user."""

    side: Side
    access_token: str


async def measure(home: Path, running: BenchPlatform, stage: Stage, options: Options) -> list[Comparison]:
    """What `options` ask for of this operation; the peer runs only meanwhile."""
    if not options.wants(NAME):
        return []
    ours = platform.our_side(running)
    token = (await stage.directus_sessions(1))[0]["access_token"]
    email = stage.users[0]  # whose session the first one is
    with fastapi_users(home, email) as peer:
        contest = Contest(
            "GET /users/me",
            Entry(peer.side, _me(peer.access_token, email)),
            Entry(ours, _me(token, email)),
            target=0.2,
            stretch=None,
            differences=_DIFFERENCES,
        )
        return await compare(contest, options)


@contextmanager
def fastapi_users(home: Path, email: str) -> Iterator[FastapiUsers]:
    """Installs what is missing, starts both processes, and ends them; `email` is that of its user."""
    application = python_application(_SOURCE)
    postgres = PostgresServer(home / "fastapi-users-postgresql")
    with ExitStack() as stack:
        stack.callback(postgres.stop)
        postgres.start()
        port = free_port()
        process = ServerProcess(
            "fastapi-users",
            [str(application.program), str(application.place / "app.py")],
            home / "fastapi-users" / "fastapi-users.log",
            environment={
                "PATH": environment()["PATH"],
                "POSTGRES_URL": postgres.url.replace("postgresql://", "postgresql+asyncpg://", 1),
                "PORT": str(port),
                "JWT_SECRET": postgres.password * 2,  # as long as HS256 asks for
                "EMAIL": email,
                "PASSWORD": PASSWORD,
            },
        )
        stack.callback(process.stop)
        process.launch()
        process.wait_until_ready(lambda: accepts(port), _START_SECONDS)
        lock = (_SOURCE / "requirements.lock").read_text()
        version = lock.partition("\nfastapi-users==")[2].split()[0]
        accounting = Accounting({"uvicorn": [process.pid], "postgresql": [postgres.pid]})
        yield FastapiUsers(
            Side(f"fastapi-users {version}", f"http://127.0.0.1:{port}", accounting),
            json.loads(process.log.read_text().splitlines()[-1])["access_token"],
        )


def _me(token: str, email: str) -> Load:
    return Load(NAME, [Shot("GET", "/users/me", {"Authorization": f"Bearer {token}"})], mark=f'"{email}"')
