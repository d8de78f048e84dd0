"""The process around a component."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from shared.process import background

ROOT = Path(__file__).parents[3]
COMPONENT = """
from contextlib import asynccontextmanager
from typing import ClassVar
from shared.process import Component, run
from shared.settings import Settings

class OtpSettings(Settings):
    component: ClassVar[str] = "otp"

@asynccontextmanager
async def open_otp(settings, kit):
    print("opened", flush=True)
    try:
        yield
    finally:
        print("closed", flush=True)

run([Component(OtpSettings, open_otp)])
"""


async def test_background_tasks_end_with_their_block() -> None:
    """Nothing runs on after the component left."""
    begun, forever = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await forever.wait()

    task = asyncio.create_task(work())
    async with background(task):
        await begun.wait()
    assert task.cancelled()


async def test_a_background_task_that_dies_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A relay or a janitor does not vanish without a word."""

    async def work() -> None:
        raise ZeroDivisionError

    task = asyncio.create_task(work(), name="janitor")
    with structlog.testing.capture_logs() as lines:
        async with background(task):
            await asyncio.wait({task})
            await asyncio.sleep(0)
    (line,) = lines
    assert (line["event"], line["task"], line["log_level"]) == ("background task died", "janitor", "error")
    assert isinstance(line["exc_info"], ZeroDivisionError)


def _start(environ: dict[str, str], program: str = COMPONENT) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"PATH": os.defpath, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_component_leaves_in_order_when_it_is_told_to(number: signal.Signals) -> None:
    """SIGTERM and Ctrl-C close what was opened and end the process without an error."""
    with _start({"DRAGOMAN_RABBITMQ_URL": "amqp://nowhere/"}) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if '"started"' in line:
                break
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert "closed" in out
    assert '"stopping"' in out


@pytest.mark.parametrize("stands_back", [True, False])
def test_a_component_that_stands_back_has_a_lower_priority(*, stands_back: bool) -> None:
    """Hashing passwords leaves the cores to whoever else wants them; the other components keep their priority."""
    program = COMPONENT.replace("open_otp)])", f"open_otp, stands_back={stands_back})])")
    with _start({"DRAGOMAN_RABBITMQ_URL": "amqp://nowhere/"}, program) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if '"started"' in line:
                break
        priority = os.getpriority(os.PRIO_PROCESS, process.pid)
        process.terminate()
        process.communicate(timeout=20)
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert priority == (min(19, own + 5) if stands_back else own)


def test_a_component_with_mistakes_in_its_environment_does_not_start() -> None:
    """All of them are printed, and the exit status is 2."""
    with _start({"DRAGOMAN_LOG_LEVEL": "loud"}) as process:
        out, err = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "opened" not in out
    assert "DRAGOMAN_LOG_LEVEL" in err
    assert "DRAGOMAN_RABBITMQ_URL: field required" in err


def test_a_port_that_is_taken_is_told_by_its_setting() -> None:
    """One line of the log, no traceback, and status 1; what was open already is closed."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        settings = {"DRAGOMAN_RABBITMQ_URL": "amqp://nowhere/", "DRAGOMAN_OTP_ADMIN_PORT": str(port)}
        with _start(settings) as process:
            out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (1, "")
    [line] = [json.loads(text) for text in out.splitlines()]
    assert (line["event"], line["level"], line["component"]) == ("cannot listen", "error", "otp")
    assert line["settings"] == ["DRAGOMAN_OTP_ADMIN_HOST", "DRAGOMAN_OTP_ADMIN_PORT"]
    assert (line["host"], line["port"]) == ("127.0.0.1", port)
    assert "in use" in line["reason"]
