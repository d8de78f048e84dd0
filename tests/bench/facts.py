"""What a result is kept with: the machine, the versions, the time."""

import asyncio
import json
import platform as machine
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aio_pika
import asyncpg
from redis.asyncio import Redis

from tests.bench.floors import cores
from tests.support.platform import ROOT, Platform

_ANSWER_SECONDS = 10.0
_LIBRARIES = ("aiohttp", "aio-pika", "asyncpg", "pydantic", "pyjwt", "redis", "uvloop")


async def facts(platform: Platform) -> dict[str, Any]:
    """What the figures depend on beside the code: cores, versions; and the commit."""
    async with asyncio.timeout(_ANSWER_SECONDS):
        servers = await _server_versions(platform.environment)
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "cores": cores(),
        "processor": _processor(),
        "system": machine.platform(),
        "python": machine.python_version(),
        "libraries": {name: version(name) for name in _LIBRARIES},
        "servers": servers,
        "commit": _git("rev-parse", "HEAD") + (" and changes" if changed else ""),
    }


def keep(name: str, result: Mapping[str, Any]) -> Path:
    """Write a result to .run/bench/, under its name and the time; where it is."""
    place = ROOT / ".run" / "bench" / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"  # noqa: TID251 - a file's name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(result, indent=2) + "\n")
    return place


async def _server_versions(environment: Mapping[str, str]) -> dict[str, str]:
    postgres = await asyncpg.connect(environment["DRAGOMAN_POSTGRES_URL"])
    try:
        found = {"postgresql": str(await postgres.fetchval("SHOW server_version"))}
    finally:
        await postgres.close()
    async with Redis.from_url(environment["DRAGOMAN_REDIS_URL"]) as redis:
        found["redis"] = str((await redis.info("server"))["redis_version"])
    async with await aio_pika.connect(environment["DRAGOMAN_OPERATOR_RABBITMQ_URL"]) as broker:
        assert broker.transport is not None
        found["rabbitmq"] = str(broker.transport.connection.server_properties["version"])
    return found


def _processor() -> str:
    """The model's name where the kernel tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return machine.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _git(*arguments: str) -> str:
    try:
        result = subprocess.run(
            ["git", *arguments], check=False, cwd=ROOT, capture_output=True, text=True, timeout=10.0
        )
    except OSError:
        return ""
    return result.stdout.strip()
