"""The load under which a deployment is verified: silent about nothing, and content with a platform that is well."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.platform import ROOT, Platform

pytestmark = pytest.mark.timeout(120)

_SECONDS = 30.0


class Load:
    """The command, running."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def begun(self) -> None:
        """Return once it says that every kind of request has succeeded."""
        assert self._process.stderr is not None
        async with asyncio.timeout(_SECONDS):
            assert await self._process.stderr.readline() == b"under load\n"

    async def told_to_stop(self) -> tuple[int | None, dict[str, Any]]:
        """Its exit status and the one line that it prints, after SIGTERM."""
        self._process.send_signal(signal.SIGTERM)
        status, report, _ = await self.ended()
        return status, report

    async def ended(self) -> tuple[int | None, dict[str, Any], bytes]:
        """Its exit status, the one line that it prints, and what else it says."""
        async with asyncio.timeout(_SECONDS):
            output, told = await self._process.communicate()
        [line] = output.splitlines()
        return self._process.returncode, json.loads(line), told


@asynccontextmanager
async def _load(gateway: str, seconds: float = 60.0) -> AsyncIterator[Load]:
    command = (sys.executable, "-m", "deploy.verify.load", "--gateway", gateway, "--seconds", str(seconds))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=pipe, stderr=pipe)
    try:
        yield Load(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_platform_that_is_well_shows_no_error_while_a_component_is_scaled(platform: Platform) -> None:
    """Requests of every kind, none of them failed, while `token` gets a second replica and loses the first."""
    async with _load(platform.url) as load:
        await load.begun()
        await platform.start("token").ready()
        [first, _] = platform.replicas("token")
        first.process.terminate()
        assert await first.ended() == 0
        status, report = await load.told_to_stop()
    assert (status, report["errors"], report["wrong"]) == (0, {}, []), platform.refusals
    assert set(report["kinds"]) == {"client_credentials", "introspect", "refresh", "password", "code"}
    assert report["requests"] == sum(report["kinds"].values()) > 20


async def test_the_death_of_a_component_is_told(platform: Platform) -> None:
    """What fails while the only `token` is gone is counted by status, and the command fails."""
    async with _load(platform.url) as load:
        await load.begun()
        for replica in platform.replicas("token"):
            replica.process.kill()
        fresh = platform.start("token")
        await fresh.ready()
        status, report = await load.told_to_stop()
    assert status == 1
    assert report["errors"].get("503", 0) > 0, report
    assert report["wrong"] == []


async def test_a_platform_that_never_answers_is_told() -> None:
    """Where nobody listens it never says that it is under load, and fails."""
    async with _load("http://127.0.0.1:9", seconds=1) as load:
        status, report, told = await load.ended()
    assert (status, told) == (1, b"")
    assert report["errors"].keys() == {"connection"}
