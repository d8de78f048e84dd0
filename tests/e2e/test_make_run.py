"""What `make run` does once the virtual environment is there."""

import asyncio
import os
import re
import shlex
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from deploy.servers.places import free_port, remove
from deploy.servers.processes import descendants
from shared.settings import environment
from tests.support.platform import ROOT

pytestmark = pytest.mark.timeout(240)

GREETED_SECONDS = 120.0
# The same program with its data elsewhere: the developer's own may be running. Ctrl-C counts, as at a terminal, also
# when the tests run in the background, where shells have it ignored.
PROGRAM = (
    "import signal, sys; from pathlib import Path; from deploy import run; run.RUN = Path(sys.argv[1]); "
    "signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(run.main())"
)


async def test_run_greets_with_a_request_that_works_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """The printed curl line returns a token; Ctrl-C ends every process that was started."""
    ports = {"DRAGOMAN_PORT": str(free_port()), "DRAGOMAN_INBOX_PORT": str(free_port())}
    outside = {name: value for name, value in environment().items() if not name.startswith("DRAGOMAN_")}
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        str(tmp_path / "run"),
        cwd=ROOT,
        env=outside | ports,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert running.stdout is not None
    try:
        greeting = await asyncio.wait_for(_until_curl(running.stdout), GREETED_SECONDS)
        assert f"http://127.0.0.1:{ports['DRAGOMAN_PORT']}" in greeting
        curl = await asyncio.create_subprocess_exec(
            *shlex.split(greeting.splitlines()[-1]), stdout=asyncio.subprocess.PIPE
        )
        answer, _ = await asyncio.wait_for(curl.communicate(), 20)
        assert re.search(rb'"access_token":"[\w.-]+"', answer)
        started = descendants(running.pid)
        assert len(started) >= 10  # inbox, five components, three servers, epmd
        running.send_signal(signal.SIGINT)
        rest, _ = await asyncio.wait_for(running.communicate(), 60)
        assert rest.decode().split() == ["stopping", "stopped"]
        assert running.returncode == 0
        assert not [process for process in started if process.alive]
        assert not _commands_naming(tmp_path)
    finally:
        with suppress(ProcessLookupError):
            running.kill()
        await running.wait()
        remove(tmp_path / "run")


async def _until_curl(output: asyncio.StreamReader) -> str:
    """All that it says, up to the line with the request to try."""
    said = ""
    while not (said.endswith("\n") and said.splitlines()[-1].startswith("curl ")):
        line = (await output.readline()).decode()
        assert line, f"it ended:\n{said}"
        said += line
    return said


def _commands_naming(folder: Path) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        if path.parent.name != str(os.getpid()):
            with suppress(OSError):  # it has ended meanwhile
                found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in found if str(folder) in line]
