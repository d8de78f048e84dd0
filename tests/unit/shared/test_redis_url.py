"""Redis URLs: what they say, and how a wrong one is told."""

from typing import ClassVar

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis, SSLConnection

from shared.redis_url import OptionalRedisUrl, RedisUrl, parse_redis_url
from shared.settings import Settings, SettingsError

BROKER = {"DRAGOMAN_RABBITMQ_URL": "amqp://common/"}


class NeedsRedis(Settings):
    """A component's settings."""

    component: ClassVar[str] = "otp"
    redis_url: RedisUrl


class MayHaveRedis(Settings):
    """Those of one that can do without."""

    component: ClassVar[str] = "token"
    redis_url: OptionalRedisUrl = SecretStr("")


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("redis://cache", {"host": "cache"}),
        ("redis://:s3%40cret@cache:6380/2", {"host": "cache", "port": 6380, "db": 2, "password": "s3@cret"}),
        ("redis://ada:p@[::1]:6379", {"host": "::1", "port": 6379, "username": "ada", "password": "p"}),
        ("redis://cache/?health_check_interval=5", {"host": "cache", "health_check_interval": 5.0}),
    ],
)
def test_one_server(url: str, options: dict[str, object]) -> None:
    """A URL without sentinels means what redis-py takes it for."""
    address = parse_redis_url(url)
    assert (address.options, address.sentinels, address.master) == (options, (), "")


def test_one_server_by_tls() -> None:
    """TLS is a letter."""
    assert parse_redis_url("rediss://cache").options["connection_class"] is SSLConnection


def test_sentinels() -> None:
    """Their hosts and ports, the name of the master, and a database; user and password are for all of them."""
    address = parse_redis_url("redis+sentinel://ada:p%2Fw@one:1,[::1],three:3/main/4")
    assert address.sentinels == (("one", 1), ("::1", 26379), ("three", 3))
    assert address.master == "main"
    assert address.options == {"username": "ada", "password": "p/w", "db": 4}
    assert address.sentinel_options == {"username": "ada", "password": "p/w"}


def test_sentinels_with_a_password_of_their_own() -> None:
    """What sentinels are told may be something else; the servers do not hear of it."""
    url = "redis+sentinel://ada:pw@one/main?sentinel_username=watch&sentinel_password=other"
    address = parse_redis_url(url)
    assert address.options == {"username": "ada", "password": "pw"}
    assert address.sentinel_options == {"username": "watch", "password": "other"}


def test_sentinels_by_tls() -> None:
    """The sentinels are asked by TLS too, under the same authority."""
    address = parse_redis_url("rediss+sentinel://one/main?ssl_ca_certs=/etc/ca.pem")
    for options in (address.options, address.sentinel_options):
        assert options == {"ssl": True, "ssl_ca_certs": "/etc/ca.pem"}
    client = Redis(host="one", **address.sentinel_options)
    assert issubclass(client.connection_pool.connection_class, SSLConnection)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "is empty"),
        ("cache.hidden:6379", "begins with none of"),
        ("http://hidden/", "begins with none of"),
        ("unix+sentinel://hidden/main", "begins with none of"),
        ("redis://:hidden@", "a host is missing"),
        ("redis://:hidden@one:hidden", "a port is no number"),
        ("redis://:hidden@one:0", "a port is no number"),
        ("redis://:hidden@one:70000", "a port is no number"),
        ("redis://:hidden@one:1,two:2", "a port is no number"),
        ("redis://:hidden@one,two", "several without +sentinel"),
        ("redis://:hidden@one/hidden", "is no number"),
        ("redis://:hidden@one?hidden=hidden", "is none that redis-py knows"),
        ("redis://:hidden@one?sentinel_password=hidden", "is none that redis-py knows"),
        ("redis+sentinel://:hidden@one/main?sentinel_hidden=hidden", "is none that redis-py knows"),
        ("redis+sentinel://:hidden@one", "name of the master is missing"),
        ("redis+sentinel://:hidden@one?db=1", "name of the master is missing"),
        ("redis+sentinel://:hidden@one//1", "name of the master is missing"),
        ("redis+sentinel://:hidden@one,,three/main", "a host is missing"),
        ("redis+sentinel://:hidden@/main", "a host is missing"),
        ("redis+sentinel://:hidden@one:x/main", "a port is no number"),
        ("redis+sentinel://:hidden@one/main/hidden", "is no number"),
        ("redis+sentinel://:hidden@one/main?hidden=hidden", "is none that redis-py knows"),
        ("redis://:hidden@one?socket_timeout=hidden", "socket_timeout"),
    ],
)
def test_wrong_ones_are_told(url: str, told: str) -> None:
    """`--check` says what is wrong and never repeats any of it."""
    with pytest.raises(SettingsError) as raised:
        NeedsRedis.load(BROKER | {"DRAGOMAN_OTP_REDIS_URL": url})
    [problem] = raised.value.problems
    assert problem.startswith("DRAGOMAN_OTP_REDIS_URL: ")
    assert told in problem
    assert "hidden" not in problem


def test_none_where_none_is_needed() -> None:
    """A component that can do without may be told nothing, but nothing wrong."""
    assert MayHaveRedis.load(BROKER | {"DRAGOMAN_REDIS_URL": ""}).redis_url.get_secret_value() == ""
    with pytest.raises(SettingsError):
        MayHaveRedis.load(BROKER | {"DRAGOMAN_REDIS_URL": "cache"})
