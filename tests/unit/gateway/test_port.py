"""The port that clients reach."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("host", ["127.0.0.1", "no.such.host.invalid"])
def test_a_port_that_cannot_be_opened_is_told_by_its_settings(host: str) -> None:
    """It is taken, or there is no such address: one line of the log, no traceback, and status 1."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        environ = {
            "DRAGOMAN_RABBITMQ_URL": "amqp://gateway:x@127.0.0.1:1/",
            "DRAGOMAN_ISSUER": "https://id.example.com",
            "DRAGOMAN_GATEWAY_HOST": host,
            "DRAGOMAN_GATEWAY_PORT": str(other.getsockname()[1]),
        }
        ended = subprocess.run(
            [sys.executable, "-m", "gateway"],
            cwd=ROOT,
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (1, "")
    lines = [json.loads(text) for text in ended.stdout.splitlines()]
    [line] = [line for line in lines if line["level"] == "error"]
    assert (line["event"], line["component"], line["host"]) == ("cannot listen", "gateway", host)
    assert line["settings"] == ["DRAGOMAN_GATEWAY_HOST", "DRAGOMAN_GATEWAY_PORT"]
