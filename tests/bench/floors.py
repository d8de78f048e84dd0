"""What the libraries and servers need for the least that an operation consists of, measured in the same run."""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import jwt
from argon2 import PasswordHasher
from cryptography.hazmat.primitives.asymmetric import ec
from redis.asyncio import Redis

from deploy.servers.process import ServerProcess
from services.password.settings import PasswordSettings
from tests.bench.accounting import Accounting, difference
from tests.bench.load import Load, Shot, drive, warm_up
from tests.bench.measuring import per_success, repeat

SECONDS = 1
_START_SECONDS = 20.0
_CONNECTIONS = 64
_PIPELINED = 64
_COUNT = "local n = redis.call('INCR', KEYS[1]); redis.call('PEXPIRE', KEYS[1], 1000); return n"
_CLAIMS = {
    "iss": "https://id.example.com",
    "sub": "3f2b1c9e-5d0a-4e7f-9c61-0a7d0c6f1b2e",
    "aud": "https://id.example.com",
    "client_id": "bench",
    "iat": 1_700_000_000,
    "exp": 1_700_003_600,
    "jti": "8d5f6a1e-9a3c-4c0d-8a4e-2f7b6c5d4e3f",
}


@dataclass(frozen=True)
class Floor:
    """How often a second, how long each took (0 where nobody waits), and CPU-µs of each by who used it."""

    name: str
    per_second: float
    p50_ms: float
    cpu_us: Mapping[str, float]


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


async def all_floors(home: Path, redis_url: str, postgres_url: str, servers: Accounting) -> list[Floor]:
    """Every floor, one after the other, a second each. `servers` accounts for `redis` and `postgresql`."""
    return [
        await echo(home / "echo.log"),
        await asyncio.to_thread(signature),
        await argon2id(),
        *[await redis_script(redis_url, servers, pipelined) for pipelined in (1, _PIPELINED)],
        *[await row_update(postgres_url, servers, connections) for connections in (1, 16)],
    ]


async def echo(log: Path) -> Floor:
    """An aiohttp server that gives a small JSON document back, driven by wrk like the platform."""
    process = ServerProcess("echo", [sys.executable, "-m", "tests.bench.echo"], log)
    try:
        process.launch()
        await asyncio.to_thread(process.wait_until_ready, lambda: log.read_text().endswith("\n"), _START_SECONDS)
        url = f"http://127.0.0.1:{int(process.last_lines(1))}"
        shot = Shot("POST", "/echo", {"Content-Type": "application/json"}, '{"grant_type": "client_credentials"}')
        load = Load("echo", [shot], '"said"')
        await warm_up(url, load, _CONNECTIONS)
        accounting = Accounting({"echo": [process.pid]})
        before = accounting.snapshot()
        outcome = await drive(url, load, _CONNECTIONS, SECONDS)
        used = difference(before, accounting.snapshot())
    finally:
        process.stop()
    assert outcome.errors == 0, outcome
    cpu = per_success(used, outcome.requests)
    return Floor(f"aiohttp echo, {_CONNECTIONS} connections", outcome.per_second, outcome.p50_ms, cpu)


def signature() -> Floor:
    """An ES256 signature of the claims of an access token, through PyJWT as `token` makes it."""
    key = ec.generate_private_key(ec.SECP256R1())
    number, started, cpu = 0, time.perf_counter(), time.thread_time()
    while (elapsed := time.perf_counter() - started) < SECONDS:
        jwt.encode(_CLAIMS, key, algorithm="ES256", headers={"typ": "at+jwt", "kid": "bench"})
        number += 1
    return Floor("ES256 by PyJWT", number / elapsed, 0.0, {"python": (time.thread_time() - cpu) * 1e6 / number})


async def argon2id(threads: int = 0) -> Floor:
    """Verifications of a password as `password` does them, in so many threads, by default one for each core."""
    threads = min(threads or cores(), cores())
    memory, passes, lanes = (
        int(PasswordSettings.model_fields[name].default) for name in ("memory_kib", "time_cost", "parallelism")
    )
    hasher = PasswordHasher(time_cost=passes, memory_cost=memory, parallelism=lanes)
    stored = hasher.hash("a password for benchmarks")

    def verify_on(thread: int) -> tuple[int, float, float]:
        number, started, cpu = 0, time.perf_counter(), time.thread_time()
        while (elapsed := time.perf_counter() - started) < SECONDS:
            hasher.verify(stored, "a password for benchmarks")
            number += 1
        return number, elapsed, time.thread_time() - cpu

    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(threads) as pool:
        done = await asyncio.gather(*(loop.run_in_executor(pool, verify_on, thread) for thread in range(threads)))
    rate = sum(number / elapsed for number, elapsed, _ in done)
    cpu = sum(cpu for _, _, cpu in done) * 1e6 / sum(number for number, _, _ in done)
    return Floor(f"argon2id, {threads} threads", rate, 0.0, {"python": cpu})


async def redis_script(url: str, servers: Accounting, pipelined: int) -> Floor:
    """A call of a short script; alone, or so many in one round trip."""
    async with Redis.from_url(url) as redis:
        sha = str(await redis.script_load(_COUNT))

        async def call(_number: int) -> None:
            async with redis.pipeline(transaction=False) as pipeline:
                for _ in range(pipelined):
                    pipeline.evalsha(sha, 1, "bench:floor")
                await pipeline.execute()

        name = "Redis script, " + ("alone" if pipelined == 1 else f"{pipelined} in a pipeline")
        return await _floor(name, call, 1, servers, "redis", pipelined)


async def row_update(url: str, servers: Accounting, connections: int) -> Floor:
    """An update of one row in a transaction of its own, durable; each connection has its row."""
    async with AsyncExitStack() as stack:
        opened: list[asyncpg.Connection] = []
        for _ in range(connections):
            opened.append(await asyncpg.connect(url))
            stack.push_async_callback(opened[-1].close)
        await opened[0].execute("CREATE SCHEMA bench")
        stack.push_async_callback(opened[0].execute, "DROP SCHEMA bench CASCADE")
        await opened[0].execute("CREATE TABLE bench.rows (id int PRIMARY KEY, n int NOT NULL)")
        await opened[0].execute("INSERT INTO bench.rows SELECT id, 0 FROM generate_series(1, $1) id", connections)

        async def update(number: int) -> None:
            await opened[number].execute("UPDATE bench.rows SET n = n + 1 WHERE id = $1", number + 1)

        noun = "connection" if connections == 1 else "connections"
        return await _floor(f"asyncpg row update, {connections} {noun}", update, connections, servers, "postgresql", 1)


async def _floor(
    name: str, work: Callable[[int], Awaitable[None]], at_once: int, servers: Accounting, server: str, each: int
) -> Floor:
    """`work` does `each` of them at a time."""
    await repeat(work, at_once, 0.2)
    before = servers.snapshot()
    done = await repeat(work, at_once, SECONDS)
    used = {"python": done.cpu_seconds, server: difference(before, servers.snapshot())[server]}
    number = done.number * each
    return Floor(name, number / done.seconds, done.p50_ms, per_success(used, number))
