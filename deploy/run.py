"""What `make run` starts: the servers, the development inbox and the five components, until Ctrl-C."""

import contextlib
import os
import signal
import sys
from pathlib import Path

from deploy.running.components import Platform, program
from deploy.running.database import create_database, in_database
from deploy.running.environment import (
    COMPONENTS,
    Ports,
    Secrets,
    component_environment,
    rabbitmq_urls,
    write_environment,
)
from deploy.servers import ServerError
from deploy.servers.places import locked
from deploy.servers.provide import ServerNames, Servers, launch
from shared.bus.permissions import definitions

ROOT = Path(__file__).resolve().parent.parent
RUN = ROOT / ".run"


def main() -> int:
    """Runs the platform in the foreground; returns 1 when it could not be started."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with locked(RUN), contextlib.ExitStack() as stack:
            _run(stack)
    except ServerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        _say("stopped")
    return 0


def _run(stack: contextlib.ExitStack) -> None:
    ports = Ports.choose(os.environ)
    secrets = Secrets(RUN / "secrets")
    passwords = secrets.broker_passwords()
    servers = stack.enter_context(
        launch(RUN / "servers", os.environ, ServerNames(), _say, rabbitmq_definitions=definitions(passwords, ["/"]))
    )
    given = os.environ.get(ServerNames().postgres)
    environment = component_environment(
        os.environ,
        ports=ports,
        passwords=secrets,
        postgres_url=given or in_database(servers.postgres_url, "dragoman"),
        redis_url=servers.redis_url,
        rabbitmq_urls=rabbitmq_urls(servers.rabbitmq_url, passwords if servers.rabbitmq_is_ours else {}),
    )
    write_environment(RUN / "env", environment)
    platform = Platform(RUN / "log", environment)
    stack.callback(platform.stop)
    stack.callback(_begin_to_stop)
    _start(platform, servers, ports, environment["DRAGOMAN_POSTGRES_URL"])
    _say(_greeting(ports))
    platform.watch(_say)


def _start(platform: Platform, servers: Servers, ports: Ports, postgres_url: str) -> None:
    """Starts everything; the broker takes longest, so all that does not need it goes on meanwhile."""
    inbox = [sys.executable, "-m", "deploy.inbox", "--http-port", str(ports.inbox), "--smtp-port", str(ports.smtp)]
    inbox += ["--directory", str(RUN / "inbox")]
    platform.start("inbox", inbox, f"http://127.0.0.1:{ports.inbox}/livez", " ".join([".venv/bin/python", *inbox[1:]]))
    servers.wait_until_ready("postgresql")
    create_database(postgres_url)
    platform.run("migrate", [program("dragoman"), "migrate"])
    _say("the database is up to date")
    for component in COMPONENTS:
        readiness = f"http://127.0.0.1:{ports.admin[component]}/readyz"
        again = f". .run/env && .venv/bin/dragoman {component}"
        platform.start(component, [program("dragoman"), component], readiness, again)
    _say("the components are starting")
    # In this process, and imported while the broker starts: another second until the first token otherwise.
    from deploy import demo  # noqa: PLC0415

    servers.wait_until_ready("redis", "rabbitmq")
    platform.wait_until_ready()
    if problem := demo.main(platform.environment):
        raise ServerError(problem)
    _say("the demo data is loaded")


def _greeting(ports: Ports) -> str:
    address = f"http://127.0.0.1:{ports.gateway}"
    body = '{"grant_type": "client_credentials", "client_id": "abc123", "client_secret": "456789"}'
    return (
        f"\nDragoman runs at {address} (mail and SMS: http://127.0.0.1:{ports.inbox}; Ctrl-C stops it). Try:\n\n"
        f"curl -s {address}/oauth/v2/token -H 'Content-Type: application/json' -d '{body}'\n"
    )


def _begin_to_stop() -> None:
    # A second Ctrl-C would only leave work half-done: the rest takes a dozen seconds at most.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _say("stopping")


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
