"""The wheel, installed where nothing else of this repository is."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.support.waiting import eventually
from tests.verifier.issuer import Issuer
from tests.verifier.readme import README, examples
from tests.verifier.signing import Clock

pytestmark = pytest.mark.timeout(400)

PROJECT = README.parent
USER_PROGRAM = """
from dragoman_verifier import Claims, Verifier
async def subject(verifier: Verifier, token: str) -> str:
    claims: Claims = await verifier.verify(token)
    return claims.subject
"""


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints; AssertionError with all it said when it fails."""
    inherited = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "MYPYPATH"}}  # noqa: TID251
    outcome = subprocess.run(
        list(map(str, command)), cwd=cwd, env=inherited, capture_output=True, text=True, timeout=300, check=False
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return outcome.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder far from the repository; its virtual environment is too large to keep."""
    folder = tmp_path_factory.mktemp("wheel")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def wheel(folder: Path) -> Path:
    """The wheel, built from a copy of the sources, so that no build folder is left among them."""
    source = folder / "source"
    for path in PROJECT.rglob("*"):
        if path.is_file() and not {"__pycache__", "build"} & set(path.parts) and ".egg-info" not in str(path):
            target = source / path.relative_to(PROJECT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    build = ("pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source)
    run(sys.executable, "-m", *build, cwd=folder)
    (built,) = folder.glob("dragoman_verifier-*.whl")
    return built


@pytest.fixture(scope="module")
def python(folder: Path, wheel: Path) -> Path:
    """The interpreter of a bare virtual environment with the wheel and what it depends on."""
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", wheel, cwd=folder)
    return python


def test_what_is_in_the_wheel(wheel: Path) -> None:
    """The wheel brings its own package with types and the licence, and nothing else of the repository."""
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"dragoman_verifier", "dragoman_verifier-0.1.0.dist-info"}
    assert "dragoman_verifier/py.typed" in names
    assert "dragoman_verifier-0.1.0.dist-info/licenses/LICENSE" in names


def test_a_bare_environment(folder: Path, python: Path) -> None:
    """It installs with two dependencies, imports without the rest of the platform, and its users' types check."""
    installed = run(python, "-m", "pip", "list", "--format=freeze", cwd=folder)
    names = {line.partition("==")[0].lower() for line in installed.splitlines()}
    assert {"dragoman-verifier", "aiohttp", "pyjwt", "cryptography"} <= names
    assert names.isdisjoint({"dragoman", "pydantic", "aio-pika", "redis", "asyncpg"})
    probe = "import dragoman_verifier.aiohttp, dragoman_verifier.asgi, sys; print(*sys.modules)"
    assert {"shared", "gateway", "services", "cli"}.isdisjoint(run(python, "-c", probe, cwd=folder).split())
    program = folder / "program.py"
    program.write_text(USER_PROGRAM)
    mypy = (sys.executable, "-m", "mypy", "--strict", "--cache-dir", folder / "mypy")
    run(*mypy, "--python-executable", python, program, cwd=folder)


def test_the_licence_is_the_repositorys() -> None:
    """The distribution carries the same licence as the repository."""
    assert (PROJECT / "LICENSE").read_text() == (PROJECT.parents[1] / "LICENSE").read_text()


@pytest.fixture
def clock() -> Clock:
    """The example knows no other time than the machine's."""
    return Clock(time.time())  # noqa: TID251


async def test_the_fastapi_example(issuer: Issuer, folder: Path, python: Path) -> None:
    """The README's FastAPI service, under uvicorn, serves good tokens, asks for a scope and refuses the rest."""
    await asyncio.to_thread(run, python, "-m", "pip", "install", "--quiet", "fastapi", "uvicorn", cwd=folder)
    (folder / "example.py").write_text(examples(issuer.url)[2])
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = (python, "-m", "uvicorn", "example:app", "--port", str(port), "--log-level", "warning")
    server = await asyncio.create_subprocess_exec(*command, cwd=folder)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            await _serves(client, issuer)
    finally:
        server.terminate()
        await server.wait()


async def _serves(client: aiohttp.ClientSession, issuer: Issuer) -> None:
    async def up() -> bool | None:
        try:
            async with client.get("/healthz") as answer:
                return answer.status == 200 or None
        except aiohttp.ClientConnectionError:
            return None

    async def ask(method: str, path: str, token: str) -> tuple[int, str | None]:
        async with client.request(method, path, headers={"Authorization": f"Bearer {token}"}) as answer:
            return answer.status, answer.headers.get("WWW-Authenticate")

    await eventually(up, 60, "uvicorn is up")
    assert await ask("GET", "/whoami", issuer.token()) == (200, None)
    assert await ask("POST", "/orders", issuer.token()) == (201, None)
    assert (await ask("GET", "/whoami", "x"))[0] == 401
    forbidden = (403, 'Bearer error="insufficient_scope", scope="orders:write"')
    assert await ask("POST", "/orders", issuer.token(scope="orders:read")) == forbidden
    async with client.get("/whoami") as answer:
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
