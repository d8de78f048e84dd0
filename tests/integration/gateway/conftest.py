"""A real nginx before a service that tells what it got, and the platform that nginx asks."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from deploy.servers import packages
from deploy.servers.places import free_port
from tests.dialects.conftest import servers  # noqa: F401 - a fixture
from tests.dialects.running import DEADLINE_SECONDS, ISSUER, Platform, Servers, load_demo, open_platform
from tests.support.waiting import eventually

EXAMPLE = Path(__file__).parents[3] / "deploy" / "nginx" / "forward-auth.conf"
RULES = "* /public/* public; * /admin/* scope:admin; DELETE /* scope:write"
API = "https://api.example.com"

_AROUND = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/forward-auth.conf;
}}
"""


@pytest.fixture(scope="module")
def nginx() -> str:
    """The nginx program; installed first where it is missing, without starting the system's own."""
    places = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"  # noqa: TID251 - where programs are
    if shutil.which("nginx", path=places) is None and packages.can_install() and os.getuid() == 0:
        subprocess.run(["sh", "-c", packages.SCRIPT, "sh", "nginx"], check=True, capture_output=True)
    found = shutil.which("nginx", path=places)
    assert found is not None, "nginx is missing: install the package nginx"
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform(servers: Servers) -> AsyncIterator[Platform]:  # noqa: F811 - the fixture imported above
    """The platform with the demo data; services behind the proxy may also be meant by an audience of their own."""
    audiences = f"{ISSUER}, {API}"
    async with open_platform(
        servers, gateway_forward_auth_rules=RULES, gateway_forward_auth_audiences=audiences
    ) as running:
        await load_demo(running)
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service() -> AsyncIterator[int]:
    """The port of a service that tells the path and the headers it got; below /broken it fails."""

    async def tell(request: web.Request) -> web.Response:
        got = {"path": request.raw_path, "headers": [list(pair) for pair in request.headers.items()]}
        return web.json_response(got, status=403 if request.path.startswith("/broken") else 200)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", tell)
    async with TestServer(app) as server:
        assert server.port is not None
        yield server.port


@asynccontextmanager
async def running_nginx(program: str, folder: Path, *, gateway: int, service: int) -> AsyncIterator[str]:
    """Run nginx with the example configuration, only its ports changed; its address."""
    port = free_port()
    example = EXAMPLE.read_text()
    for theirs, ours in ((8080, gateway), (9000, service), (8000, port)):
        assert example.count(f"127.0.0.1:{theirs};") == 1
        example = example.replace(f"127.0.0.1:{theirs};", f"127.0.0.1:{ours};")
    (folder / "forward-auth.conf").write_text(example)
    (folder / "nginx.conf").write_text(_AROUND.format(folder=folder))
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)

    async def listens() -> bool | None:
        assert process.returncode is None, (folder / "log").read_text()
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return None
        writer.close()
        return True

    try:
        await eventually(listens, DEADLINE_SECONDS, "nginx listens")
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE_SECONDS):
            await process.wait()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proxy(
    nginx: str, platform: Platform, service: int, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[str]:
    """The address of nginx before the service, asking the platform."""
    async with running_nginx(
        nginx, tmp_path_factory.mktemp("nginx"), gateway=platform.port, service=service
    ) as address:
        yield address
