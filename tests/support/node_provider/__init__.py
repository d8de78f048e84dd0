"""oidc-provider for Node.js, a certified OpenID provider, in a process of its own."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.servers.process import ServerProcess
from shared.settings import environment
from tests.bench.peers.installing import node_application

_SOURCE = Path(__file__).parent
_START_SECONDS = 60.0


@dataclass(frozen=True)
class NodeProvider:
    """One that runs.

    - `issuer`: its URL, on another site than 127.0.0.1.
    - `process`: to be paused, as a provider that no longer answers.
    """

    issuer: str
    process: ServerProcess


@contextmanager
def node_provider(
    log: Path, *, client_id: str, secret: str, redirect_uris: list[str], accounts: Mapping[str, Mapping[str, Any]]
) -> Iterator[NodeProvider]:
    """Install what is missing, start it, and end it. `accounts` are claims by the name that is typed to sign in."""
    application = node_application(_SOURCE)
    process = ServerProcess(
        "oidc-provider",
        [str(application.program), str(application.place / "provider.mjs")],
        log,
        environment={
            "PATH": environment()["PATH"],
            "CLIENT_ID": client_id,
            "CLIENT_SECRET": secret,
            "REDIRECT_URIS": json.dumps(redirect_uris),
            "ACCOUNTS": json.dumps(accounts),
        },
        directory=application.place,
    )
    try:
        process.launch()
        process.wait_until_ready(lambda: log.read_text().endswith("}\n"), _START_SECONDS)
        yield NodeProvider(json.loads(log.read_text().splitlines()[-1])["issuer"], process)
    finally:
        process.stop()
