"""Redis behind sentinels: found, in time, by TLS too, and never waited for longer than one server is."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis.asyncio import Redis
from redis.exceptions import RedisError

from deploy.servers.places import free_port, write_private
from shared.clock import SystemClock
from shared.redis import open_redis
from tests.support.sentinels import MASTER, Node, SentinelNode, Watched, sentinels
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(60)

_LOADED = 2.0
"""What a machine that does other things meanwhile may make of a second."""


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """One master, two sentinels."""
    with sentinels(tmp_path_factory.mktemp("watched"), replicas=0, watchers=2, down_after=30.0) as made:
        yield made


async def test_the_master_is_found_and_its_connections_are_shared(watched: Watched) -> None:
    """The password and the database count; more callers than connections wait for each other."""
    async with open_redis(f"{watched.url}/3", max_connections=2) as redis, open_redis(watched.url) as elsewhere:
        await asyncio.gather(*[redis.incr("callers") for _ in range(100)])
        assert await redis.get("callers") == b"100"
        assert await elsewhere.get("callers") is None
        assert len([one for one in await redis.client_list() if one["db"] == "3"]) <= 2
    for wrong in (watched.url.replace(f"/{MASTER}", "/nobody"), watched.url.replace("//:", "//:x")):
        async with open_redis(wrong) as redis:
            with pytest.raises(RedisError):
                await redis.ping()


async def test_sentinels_that_know_other_users(watched: Watched) -> None:
    """A user of the server's own is not asked of the sentinels when they have one of theirs."""
    password = watched.nodes[0].password
    async with open_redis(watched.url) as redis:
        await redis.acl_setuser("ada", enabled=True, passwords=["+secret"], keys=["*"], categories=["+@all"])
    url = watched.url.replace(f"//:{password}@", "//ada:secret@")
    async with open_redis(f"{url}?sentinel_password={password}") as redis:
        assert await redis.acl_whoami() == "ada"
    async with open_redis(url) as redis:
        with pytest.raises(RedisError):
            await redis.ping()


@pytest.mark.parametrize("which", [0, 1])
async def test_a_sentinel_that_hangs(watched: Watched, which: int) -> None:
    """The other one is asked, after one deadline and once for all that follow."""
    loop = asyncio.get_running_loop()
    watched.sentinels[which].pause()
    try:
        async with open_redis(watched.url, answer_seconds=0.5) as redis:
            started = loop.time()
            await redis.ping()
            assert loop.time() - started < 0.5 * _LOADED
            started = loop.time()
            await asyncio.gather(*[redis.ping() for _ in range(10)])
            assert loop.time() - started < 0.25 * _LOADED
    finally:
        watched.sentinels[which].resume()


async def test_a_master_that_hangs_costs_no_more_than_a_server_that_hangs(watched: Watched) -> None:
    """Whoever has a connection and whoever needs one are told after two deadlines, as without sentinels."""
    loop = asyncio.get_running_loop()
    async with open_redis(watched.url, answer_seconds=0.5) as redis:
        await redis.ping()
        watched.nodes[0].pause()
        try:
            for _ in range(2):
                started = loop.time()
                with pytest.raises(RedisError):
                    await redis.ping()
                assert loop.time() - started < 1.0 + 0.2 * _LOADED
        finally:
            watched.nodes[0].resume()
        assert await redis.ping()


async def test_a_master_that_became_a_replica_is_left(tmp_path: Path) -> None:
    """Whoever was waiting for its answer when the sentinels chose another asks that one from then on."""
    with sentinels(tmp_path, replicas=1, watchers=1) as watched:
        await watched.ready(1)
        async with open_redis(watched.url) as redis, Redis.from_url(watched.sentinels[0].url) as sentinel:
            before = (await redis.info())["run_id"]
            waiting = asyncio.ensure_future(redis.xread({"stream": "0-0"}, block=500))
            await sentinel.sentinel_failover(MASTER)

            async def elsewhere() -> bool | None:
                with suppress(RedisError):
                    await redis.xread({"stream": "0-0"}, block=100)
                    told = await redis.info()
                    return True if told["run_id"] != before and told["role"] == "master" else None
                return None

            await eventually(elsewhere, 6.0, "the other one is asked")
            await asyncio.gather(waiting, return_exceptions=True)
            for _ in range(20):
                told = await redis.info()
                assert (told["role"], told["run_id"] == before) == ("master", False)


async def test_by_tls(tmp_path: Path) -> None:
    """Sentinel and server are asked by TLS alone, and have to be who the authority says."""
    authority, key = _certificate(tmp_path)
    with ExitStack() as stack:
        node_port, sentinel_port = free_port(), free_port()
        node = Node(tmp_path / "node", "secret", more=_tls(node_port, authority, key))
        sentinel = SentinelNode(
            tmp_path / "sentinel",
            "secret",
            node_port,
            quorum=1,
            down_after=30.0,
            more=_tls(sentinel_port, authority, key),
        )
        for server in (node, sentinel):
            stack.callback(server.stop)
            server.start()
        url = f"+sentinel://:secret@127.0.0.1:{sentinel_port}/{MASTER}?ssl_ca_certs={authority}"
        async with open_redis(f"rediss{url}") as redis:
            assert await redis.ping()
            told = await redis.client_info()
            assert told["laddr"] == f"127.0.0.1:{node_port}"
        for wrong in (f"redis{url.partition('?')[0]}", f"rediss{url.partition('?')[0]}"):
            async with open_redis(wrong) as redis:
                with pytest.raises(RedisError):
                    await redis.ping()


def _tls(port: int, certificate: Path, key: Path) -> str:
    """What makes a server listen by TLS too, at a port of its own."""
    lines = (
        f"tls-port {port}",
        f"tls-cert-file {certificate}",
        f"tls-key-file {key}",
        f"tls-ca-cert-file {certificate}",
        "tls-auth-clients no",
        "tls-replication yes",
    )
    return "\n".join(lines) + "\n"


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "redis")])
    now = SystemClock().now()
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    write_private(paths[0], certificate.public_bytes(serialization.Encoding.PEM).decode())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_private(paths[1], pem.decode())
    return paths
