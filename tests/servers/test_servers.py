"""The servers that `make run` and `make test` bring along: real ones, in folders of their own."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import aio_pika
import asyncpg
import pytest
from redis import exceptions as redis_errors
from redis.asyncio import Redis

from deploy.servers import PostgresServer, RabbitServer, RedisServer, ServerError
from deploy.servers.places import folder_for, remove
from deploy.servers.processes import Process, descendants
from deploy.servers.provide import ServerNames, launch, provide
from shared.bus.permissions import definitions
from shared.settings import environment

ROOT = Path(__file__).resolve().parents[2]
ALL_BUT_REDIS = {"DRAGOMAN_POSTGRES_URL": "postgresql://given/", "DRAGOMAN_RABBITMQ_URL": "amqp://given/"}
pytestmark = pytest.mark.timeout(240)


class Private(NamedTuple):
    """One private server of each kind."""

    postgres: PostgresServer
    redis: RedisServer
    rabbitmq: RabbitServer


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Private]:
    """One durable server of each kind; stopping them has to leave no process."""
    home = tmp_path_factory.mktemp("private")
    # The queue is there from the first start: a broker that is killed forgets what was declared a moment ago.
    queue = {"name": "kept", "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}}
    document = definitions({"token": "a-token-password"}, ["/", "second"]) | {"queues": [queue]}
    rabbitmq = RabbitServer(home / "rabbitmq", definitions=document)
    servers = Private(PostgresServer(home / "postgresql"), RedisServer(home / "redis"), rabbitmq)
    for server in reversed(servers):
        server.launch()
    for server in servers:
        server.wait_until_ready()
    yield servers
    started = [Process.of(server.pid) for server in servers]
    started += [process for server in servers for process in descendants(server.pid)]
    for server in servers:
        server.stop()
    _expect_gone(started)
    assert not _commands_naming(home)
    remove(home)


async def test_each_server_answers_its_client(private: Private) -> None:
    """A developer can connect to all three with the URLs as they are."""
    assert await _postgres(private.postgres.url, "select 1") == 1
    async with Redis.from_url(private.redis.url) as redis:
        assert await redis.ping()
    async with await aio_pika.connect(private.rabbitmq.url) as connection:
        await (await connection.channel()).declare_queue("hello", exclusive=True)


async def test_the_broker_knows_the_users_and_virtual_hosts_of_its_definitions(private: Private) -> None:
    """A component signs in to every virtual host with its own user, and nobody does with a wrong password."""
    for vhost in ("", "second"):
        url = f"amqp://token:a-token-password@127.0.0.1:{private.rabbitmq.port}/{vhost}"
        await (await aio_pika.connect(url)).close()
    with pytest.raises(aio_pika.exceptions.ProbableAuthenticationError):
        await aio_pika.connect(f"amqp://token:wrong@127.0.0.1:{private.rabbitmq.port}/")


async def test_servers_refuse_strangers(private: Private) -> None:
    """Another user of the machine can't get in without the password."""
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(private.postgres.url.replace(private.postgres.password, "wrong"))
    for path in (private.postgres.directory, private.redis.directory, private.rabbitmq.directory):
        assert (path / "password").stat().st_mode & 0o077 == 0


async def test_killed_servers_come_back_on_the_same_address_with_their_data(private: Private) -> None:
    """After kill -9 a server starts again where it was, and what was acknowledged is still there."""
    urls = [server.url for server in private]
    await _postgres(private.postgres.url, "create table kept as select 42 as answer")
    async with Redis.from_url(private.redis.url) as redis:
        await redis.set("kept", "yes")
    async with await aio_pika.connect(private.rabbitmq.url) as connection:
        channel = await connection.channel()
        message = aio_pika.Message(b"yes", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, "kept", mandatory=True)

    for server in private:
        server.kill()
    for server in reversed(private):
        server.launch()
    for server in private:
        server.wait_until_ready()

    assert [server.url for server in private] == urls
    assert await _postgres(private.postgres.url, "select answer from kept") == 42
    async with Redis.from_url(private.redis.url) as redis:
        assert await redis.get("kept") == b"yes"
    async with await aio_pika.connect(private.rabbitmq.url) as connection:
        queue = await (await connection.channel()).get_queue("kept")
        found = await queue.get(timeout=10)
        assert found is not None
        assert found.body == b"yes"


async def test_a_paused_server_is_silent_until_it_goes_on(private: Private) -> None:
    """A paused server keeps its connections and does not answer; resumed, it answers what was asked."""
    async with Redis.from_url(private.redis.url, socket_timeout=0.2, retry=None) as redis:
        await redis.ping()
        private.redis.pause()
        with pytest.raises(redis_errors.TimeoutError):
            await redis.ping()
        private.redis.resume()
        assert await redis.ping()


async def test_a_second_set_runs_beside_the_first_and_dies_with_its_owner(private: Private, tmp_path: Path) -> None:
    """`python -m deploy.servers` shares nothing with a set that runs already, and kill -9 leaves no server behind."""
    owner = subprocess.Popen(  # noqa: ASYNC220 - its owner has to be a process of its own
        [sys.executable, "-m", "deploy.servers", "--directory", str(tmp_path / "second")],
        cwd=ROOT,
        env={name: value for name, value in environment().items() if not name.startswith("DRAGOMAN_")},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    children: list[Process] = []
    try:
        assert owner.stdout is not None
        lines = [owner.stdout.readline().strip() for _ in range(3)]
        urls = dict(line.removeprefix("export ").split("=", 1) for line in lines)
        assert sorted(urls) == ["DRAGOMAN_POSTGRES_URL", "DRAGOMAN_RABBITMQ_URL", "DRAGOMAN_REDIS_URL"]
        assert not {server.url for server in private} & set(urls.values())
        assert await _postgres(urls["DRAGOMAN_POSTGRES_URL"], "select to_regclass('kept') is null")
        async with await aio_pika.connect(urls["DRAGOMAN_RABBITMQ_URL"]) as connection:
            with pytest.raises(aio_pika.exceptions.ChannelNotFoundEntity):
                await (await connection.channel()).get_queue("kept")
        children = descendants(owner.pid)
        assert len(children) >= 4  # the three servers and epmd
    finally:
        owner.kill()
        owner.communicate()
    _expect_gone(children)
    assert not _commands_naming(tmp_path)

    with provide(tmp_path / "second", {"DRAGOMAN_RABBITMQ_URL": "amqp://given/"}, ServerNames(), print) as again:
        assert again.postgres_url == urls["DRAGOMAN_POSTGRES_URL"], "the same data, password and port"
        assert again.redis_url == urls["DRAGOMAN_REDIS_URL"]
    remove(tmp_path / "second")


def test_servers_of_the_environment_are_taken_as_they_are(tmp_path: Path) -> None:
    """With three URLs in the environment nothing is started and nothing is written."""
    given = {
        "DRAGOMAN_POSTGRES_URL": "postgresql://a:b@db.example/x?sslmode=require",
        "DRAGOMAN_REDIS_URL": "rediss://cache.example/3",
        "DRAGOMAN_RABBITMQ_URL": "amqps://mq.example/vhost",
    }
    with provide(tmp_path / "none", given, ServerNames(), print) as servers:
        assert [servers.postgres_url, servers.redis_url, servers.rabbitmq_url] == list(given.values())
        assert not servers.rabbitmq_is_ours
    assert not (tmp_path / "none").exists()


def test_a_folder_in_use_is_not_used_twice(tmp_path: Path) -> None:
    """Who starts the servers of a folder a second time is told which process uses them, and the first goes on."""
    folder = tmp_path / "servers"
    with provide(folder, ALL_BUT_REDIS, ServerNames(), print, fast=True) as servers:
        with pytest.raises(ServerError, match=f"in use by process {os.getpid()} "):
            launch(folder, ALL_BUT_REDIS, ServerNames(), print)
        servers.wait_until_ready("redis")
    assert not folder.exists(), "a set for tests keeps nothing"


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    """The error shows the end of the server's own log."""
    with provide(tmp_path / "a", ALL_BUT_REDIS, ServerNames(), print, fast=True) as servers:
        port = int(servers.redis_url.rpartition(":")[2].partition("/")[0])
        second = RedisServer(tmp_path / "b", port)
        with pytest.raises(ServerError, match=r"(?s)redis ended while starting.*in use"):
            second.start()


@pytest.mark.skipif(os.getuid() != 0, reason="only root starts a server as another user")
def test_data_of_an_unreachable_checkout_lies_elsewhere_and_is_removed_with_it(tmp_path: Path) -> None:
    """Below a folder that PostgreSQL's user can't enter, the data goes to /var/tmp, and `make clean` finds it there."""
    tmp_path.chmod(0o700)
    (tmp_path / "run").mkdir()
    place = folder_for("nobody", tmp_path / "run" / "data")
    assert place.is_relative_to("/var/tmp")
    assert folder_for("nobody", tmp_path / "run" / "data") == place, "the same place the next time"
    remove(tmp_path / "run")
    assert not place.parent.exists()


async def _postgres(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def _expect_gone(processes: list[Process], deadline: float = 10.0) -> None:
    end = time.monotonic() + deadline
    while left := [process for process in processes if process.alive]:
        assert time.monotonic() < end, f"still running: {left}"


def _commands_naming(folder: Path) -> list[str]:
    """The command lines on this machine that mention a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in found if str(folder) in line]
