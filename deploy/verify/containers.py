"""Tries the image and deploy/compose.yaml on a Docker engine."""

import asyncio
import json
import sys
import time
from contextlib import ExitStack
from typing import Any

from aiohttp import ClientError

from cli.components import COMPONENTS
from deploy.seeds.__main__ import SeedsError, send
from deploy.verify.commands import run
from deploy.verify.composed import IMAGE, STOP_SECONDS, Composed
from deploy.verify.engine import Engine, docker_engine
from deploy.verify.images import provide_images, testcontainers_settings
from deploy.verify.table import Table, VerifyError
from deploy.verify.under_load import under_load

USER = 10_001
"""Who the image's processes have to be."""

TESTS = ("tests/integration/otp", "tests/integration/password")
"""Tests that between them need PostgreSQL, Redis and RabbitMQ."""

_TEST_SECONDS = 600.0
_SETTLE_SECONDS = 5.0
_REPLICAS = 3


def check_containers(table: Table) -> None:
    """Adds the rows of everything that needs an engine, and leaves nothing of it running."""
    with ExitStack() as stack:
        with table.step("a Docker engine") as row:
            engine = stack.enter_context(docker_engine())
            row.detail = f"{engine.version}, {'started here' if engine.ours else 'it was there'}"
        if row.state == "failed":
            return
        with table.step("base images") as row:
            images = provide_images(engine)
            row.detail = ", ".join(images.values()) or "the official ones"
        if row.state == "failed":
            return
        composed = Composed(engine, images)
        with table.step("deploy/Dockerfile builds") as row:
            composed.build()
            row.detail = check_image(engine)
        if row.state == "ran":
            _check_platform(table, composed, stack)
        with table.step(f"tests in containers: {' '.join(TESTS)}") as row:
            row.detail = run_tests(engine, images)


def _check_platform(table: Table, composed: Composed, stack: ExitStack) -> None:
    with table.step("deploy/compose.yaml comes up healthy") as row:
        stack.enter_context(composed.running())
        composed.up()
        row.detail = f"{len(composed.containers())} containers, migrations and demo data"
    if row.state == "failed":
        return
    with table.step("the seeds' requests") as row:
        row.detail = send_seeds(composed)
    with table.step("containers are confined") as row:
        row.detail = check_confinement(composed)
    with table.step(f"token 1 → {_REPLICAS} → 1 replicas under load") as row:
        row.detail = scale_under_load(composed, "token", _REPLICAS)
    with table.step("a second `up` keeps what there is") as row:
        composed.up()
        row.detail = send_seeds(composed)
    with table.step("an `up` brings a running broker its permissions") as row:
        row.detail = check_permissions(composed)
    with table.step("SIGTERM drains") as row:
        row.detail = check_stop(composed)


def check_image(engine: Engine) -> str:
    """The image says of itself what it should; returns its size."""
    document = json.loads(engine.docker("image", "inspect", IMAGE))[0]
    said = document["Config"]
    wanted = {
        "User": f"{USER}:{USER}",
        "Entrypoint": ["dragoman"],
        "StopSignal": "SIGTERM",
        "Healthcheck": {"Test": ["NONE"]},
    }
    wrong = {name: said.get(name) for name, value in wanted.items() if said.get(name) != value}
    if wrong:
        raise VerifyError(f"the image says {wrong}")
    return f"{document['Size'] / 1e6:.0f} MB with its base"


def send_seeds(composed: Composed) -> str:
    """Every request of the seed documents is answered as documented; the README's is the first of them."""
    try:
        results = asyncio.run(send(composed.gateway, composed.inbox))
    except (SeedsError, ClientError) as error:
        raise VerifyError(f"the requests could not be sent: {error}") from None
    wrong = [f"{example.seed} {example.title}: {problem}" for example, problem in results if problem is not None]
    if wrong:
        raise VerifyError(f"{len(wrong)} of {len(results)} answers are not as documented\n" + "\n".join(wrong))
    return f"{len(results)} of {len(results)} answers as documented"


def check_confinement(composed: Composed) -> str:
    """No component's process is root, has a capability, can gain one, or can write anywhere but to its memory."""
    found = composed.components()
    for container in found:
        told = composed.engine.docker("exec", container.name, "python", "-m", "deploy.verify.confinement")
        if wrong := unconfined(json.loads(told)):
            raise VerifyError(f"{container.name}: {', '.join(wrong)}")
    return f"{len(found)} containers: user {USER}, no capability, no writable directory, no pip, no compiler"


def unconfined(report: dict[str, Any]) -> list[str]:
    """What a process may do that it should not, after what deploy/verify/confinement.py reports of it."""
    wrong = []
    if (report["user"], report["group"]) != (USER, USER):
        wrong.append(f"runs as {report['user']}:{report['group']}")
    if report["capabilities"]:
        wrong.append(f"has capabilities {report['capabilities']:x}")
    if report["new_privileges"]:
        wrong.append("can gain privileges")
    if report["writable"]:
        wrong.append(f"can write to {', '.join(report['writable'])}")
    if report["compilers"]:
        wrong.append(f"has {', '.join(report['compilers'])}")
    if report["pip"]:
        wrong.append("has pip")
    return wrong


def scale_under_load(composed: Composed, service: str, replicas: int) -> str:
    """From one replica to several and back without an error for anybody; returns what the clients saw."""
    with under_load(composed.gateway) as load:
        for wanted in (replicas, 1):
            composed.scale(service, wanted)
            time.sleep(_SETTLE_SECONDS)
    return load.require_no_error()


def check_permissions(composed: Composed) -> str:
    """What a user may do on a broker that goes on running is what the definitions say, as after an upgrade."""

    def ask(*command: str) -> str:
        return composed.compose("exec", "--no-TTY", "rabbitmq", "rabbitmqctl", "--quiet", *command)

    before = ask("list_user_permissions", "operator")
    ask("clear_permissions", "operator")
    composed.up()
    if (after := ask("list_user_permissions", "operator")) != before:
        raise VerifyError(f"the operator's permissions are {after!r} instead of {before!r}")
    return "the operator's were taken away, and are back"


def check_stop(composed: Composed) -> str:
    """Each component that is told to stop under load ends by itself, with status 0, before it would be killed."""
    with under_load(composed.gateway):
        began = time.monotonic()
        composed.compose("stop", *COMPONENTS)
        seconds = time.monotonic() - began
    ended = {container.service: container.exit_code for container in composed.components()}
    if set(ended) != set(COMPONENTS) or any(ended.values()):
        raise VerifyError(f"exit statuses: {ended}")
    if seconds >= STOP_SECONDS:
        raise VerifyError(f"they took {seconds:.1f} s")
    return f"all five ended with 0 after at most {seconds:.1f} s"


def run_tests(engine: Engine, images: dict[str, str]) -> str:
    """The tests pass with their servers in containers of the engine; returns pytest's last line."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", *TESTS]
    told = run(command, seconds=_TEST_SECONDS, environment=testcontainers_settings(engine, images))
    if "private processes" in told:
        raise VerifyError(told.strip().splitlines()[-1])
    return next(line for line in reversed(told.splitlines()) if " passed" in line)
