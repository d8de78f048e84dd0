"""oidc-provider for Node.js, with a Redis of its own that keeps as much as the platform's does."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.servers import RedisServer
from deploy.servers.process import ServerProcess
from shared.settings import environment
from tests.bench.accounting import Accounting
from tests.bench.peers.contest import Side
from tests.bench.peers.installing import node_application
from tests.bench.peers.requests import Client
from tests.support.platform import ISSUER

TOKEN_PATH = "/token"
INTROSPECTION_PATH = "/token/introspection"
_SOURCE = Path(__file__).with_name("oidc")
_START_SECONDS = 60.0


@dataclass(frozen=True)
class OidcProvider:
    """One that runs.

    - `client`: gets tokens of ES256; `rs256` of RS256; `opaque` those that are introspected.
    - `refresh_tokens`: of `client`, each of a user of its own.
    """

    side: Side
    client: Client
    rs256: Client
    opaque: Client
    refresh_tokens: list[str]


@contextmanager
def oidc_provider(home: Path, client: Client, sessions: int, *, pipelined: bool) -> Iterator[OidcProvider]:
    """Installs what is missing, starts both processes, and ends them.

    `sessions` is how many users have signed in; `pipelined` has its Redis client send together what waits.
    """
    application = node_application(_SOURCE)
    redis = RedisServer(home / "oidc-redis")
    with ExitStack() as stack:
        stack.callback(redis.stop)
        redis.start()
        process = ServerProcess(
            "oidc-provider",
            [str(application.program), str(application.place / "provider.mjs")],
            home / "oidc" / "oidc-provider.log",
            environment={
                "PATH": environment()["PATH"],
                "NODE_ENV": "production",
                "REDIS_URL": redis.url,
                "ISSUER": ISSUER,
                "CLIENT_ID": client.client_id,
                "CLIENT_SECRET": client.secret,
                "SESSIONS": str(sessions),
                "PIPELINED": "yes" if pipelined else "no",
            },
            directory=application.place,
        )
        stack.callback(process.stop)
        process.launch()
        process.wait_until_ready(lambda: process.log.read_text().endswith("}\n"), _START_SECONDS)
        told = json.loads(process.log.read_text().splitlines()[-1])
        lock = json.loads((_SOURCE / "package-lock.json").read_text())
        version = lock["packages"]["node_modules/oidc-provider"]["version"]
        yield OidcProvider(
            side=Side(
                f"oidc-provider {version}",
                f"http://127.0.0.1:{told['port']}",
                Accounting({"node": [process.pid], "redis": [redis.pid]}),
            ),
            client=client,
            rs256=Client(f"{client.client_id}-rs256", client.secret),
            opaque=Client(f"{client.client_id}-opaque", client.secret),
            refresh_tokens=told["refresh_tokens"],
        )
