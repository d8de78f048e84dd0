"""The images that everything stands on: the official ones, or their like made here where no registry can be reached."""

import os
import shutil
import sys
from pathlib import Path

from deploy.verify.commands import WORK, run
from deploy.verify.engine import Engine
from deploy.verify.table import VerifyError
from deploy.verify.tools import debian_mirror, install

PYTHON = "python:3.11-slim"
LOCAL = "local/"
"""Before the name of what is made here, so that nobody takes it for the official image."""

SERVERS = {"POSTGRESQL_IMAGE": "postgres:15", "REDIS_IMAGE": "redis:7.0", "RABBITMQ_IMAGE": "rabbitmq:3.10"}
"""What Debian 12 has of the three servers, by the variable of deploy/compose.yaml; the tests take the same."""

_RELEASE = "bookworm"
_FOLDER = Path(__file__).parent / "images"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_PULL_SECONDS = 120.0
_MAKE_SECONDS = 600.0


def provide_images(engine: Engine) -> dict[str, str]:
    """What deploy/compose.yaml has to be told: nothing where images can be pulled, else those made here."""
    try:
        engine.docker("pull", "--quiet", PYTHON, seconds=_PULL_SECONDS)
    except VerifyError:
        _make_python(engine)
        for image in SERVERS.values():
            _make_server(engine, image)
        return {variable: LOCAL + image for variable, image in {"PYTHON_IMAGE": PYTHON, **SERVERS}.items()}
    return {}


def _make_python(engine: Engine) -> None:
    """Debian with its Python, and what this machine's pip and TLS rely on; kept from one run to the next."""
    if engine.docker("image", "ls", "--quiet", LOCAL + PYTHON).strip():
        return
    if shutil.which("mmdebstrap") is None:
        install("mmdebstrap")
    archive, settings = WORK / "python.tar", WORK / "pip.conf"
    WORK.mkdir(parents=True, exist_ok=True)
    settings.write_text(_pip_settings())
    packages = "--include=ca-certificates,python3,python3-venv,python3-pip"
    hooks = [f"--customize-hook=upload {settings} /etc/pip.conf"]
    if _CERTIFICATES.exists():
        hooks.append(f"--customize-hook=upload {_CERTIFICATES} {_CERTIFICATES}")
    mirror = debian_mirror()
    try:
        run(["mmdebstrap", "--variant=apt", packages, *hooks, _RELEASE, archive, mirror], seconds=_MAKE_SECONDS)
        engine.docker("import", archive, LOCAL + PYTHON, seconds=_MAKE_SECONDS)
    finally:
        archive.unlink(missing_ok=True)


def _make_server(engine: Engine, image: str) -> None:
    file = _FOLDER / f"{image.partition(':')[0]}.Dockerfile"
    options = ["--quiet", "--network=host", "--build-arg", f"BASE={LOCAL}{PYTHON}", "--tag", LOCAL + image]
    # The plain builder: the other one is a plugin of its own.
    plain = {"DOCKER_BUILDKIT": "0"}
    engine.docker("build", *options, "--file", file, _FOLDER, seconds=_MAKE_SECONDS, told=plain)


def _pip_settings() -> str:
    """A pip.conf that finds packages where this machine's pip does."""
    lines = ["[global]", f"cert = {_CERTIFICATES}"]
    listed = run([sys.executable, "-m", "pip", "config", "list"], seconds=60)
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        if name == "global.index-url":
            lines.append(f"index-url = {value.strip(chr(39))}")
    if index := os.environ.get("PIP_INDEX_URL"):
        lines.append(f"index-url = {index}")
    return "\n".join([*lines, ""])


def testcontainers_settings(engine: Engine, images: dict[str, str]) -> dict[str, str]:
    """What the tests have to be told so that their servers are containers of this engine."""
    told = {"TESTCONTAINERS_RYUK_DISABLED": "true"}  # it cleans up after killed tests, and is an image of its own
    if images:
        told["TESTCONTAINERS_HUB_IMAGE_NAME_PREFIX"] = LOCAL
    # Whose socket is a file has its containers' ports on this machine; the library takes some machines for containers.
    if {**os.environ, **engine.environment}.get("DOCKER_HOST", "unix:").startswith("unix:"):
        told |= {"TESTCONTAINERS_CONNECTION_MODE": "docker_host", "TESTCONTAINERS_HOST_OVERRIDE": "localhost"}
    return {**engine.environment, **told}
