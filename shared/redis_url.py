"""Redis URLs: one server, or the sentinels that know which of several is the master.

    redis://[user:password@]host[:port][/db]
    redis+sentinel://[user:password@]host[:port][,host[:port]…]/master[/db]

With `rediss` in place of `redis` all connections are TLS. Sentinels get the same user and password as the servers,
unless `?sentinel_username=…&sentinel_password=…` names others. Other words behind the `?` are redis-py's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr
from redis.asyncio import Connection
from redis.asyncio.connection import parse_url

_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")
_REDIS_PORT, _SENTINEL_PORT = 6379, 26379
_NOT_OF_A_CONNECTION = ("connection_class", "max_connections", "timeout")


@dataclass(frozen=True)
class RedisAddress:
    """Where a URL leads to: `options` are redis-py's for connections to the server.

    Where `sentinels`, each a host and a port, are asked where that is, `master` is what they call it, and
    `sentinel_options` are for the connections to them.
    """

    options: dict[str, Any]
    sentinels: tuple[tuple[str, int], ...] = ()
    master: str = ""
    sentinel_options: dict[str, Any] = field(default_factory=dict)


def parse_redis_url(url: str) -> RedisAddress:
    """Read a URL. Raises ValueError that says what is wrong and repeats nothing of it: it may hold a password."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _SCHEMES:
        raise ValueError(f"begins with none of {', '.join(f'{one}://' for one in _SCHEMES)}")
    if not scheme.endswith("+sentinel"):
        if scheme != "unix":
            _check_database(urlsplit(url).path.strip("/"))
            _host_and_port(rest.partition("?")[0].partition("/")[0].rpartition("@")[2], _REDIS_PORT)
        return RedisAddress(_checked_options(parse_url(url)))
    place, question, words = rest.partition("?")
    place, _, path = place.partition("/")
    login, at, hosts = place.rpartition("@")
    master, _, database = path.partition("/")
    if not master:
        raise ValueError("the name of the master is missing: redis+sentinel://host:port,host:port/master")
    _check_database(database)
    sentinels = tuple(_host_and_port(host, _SENTINEL_PORT) for host in hosts.split(","))
    read: dict[str, Any] = dict(
        parse_url(f"{scheme.removesuffix('+sentinel')}://{login}{at}master/{database}{question}{words}")
    )
    own = {name: read.pop(f"sentinel_{name}", None) for name in ("username", "password")}
    options = _checked_options(read)
    del options["host"]
    if options.pop("connection_class", None) is not None:
        options["ssl"] = True
    sentinel_options = {name: value for name, value in options.items() if name not in (*_NOT_OF_A_CONNECTION, "db")}
    if any(own.values()):
        sentinel_options |= own
    return RedisAddress(options, sentinels, master, sentinel_options)


def _checked_options(read: Mapping[str, Any]) -> dict[str, Any]:
    """The same, once redis-py has taken them for a connection that is never made."""
    own = {name: value for name, value in read.items() if name not in _NOT_OF_A_CONNECTION}
    try:
        read.get("connection_class", Connection)(**own)
    except TypeError:
        raise ValueError("one of its options, behind the ?, is none that redis-py knows") from None
    return dict(read)


def _host_and_port(text: str, default: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, default if parts.port is None else parts.port
    except ValueError:
        port, host = 0, ""
    if port == 0:
        raise ValueError("a port is no number from 1 to 65535, or a host cannot be read")
    if not host or "," in host:
        raise ValueError("a host is missing, or there are several without +sentinel")
    return host, port


def _check_database(text: str) -> None:
    if text and not (text.isascii() and text.isdigit()):
        raise ValueError("the database, behind the last /, is no number")


def _checked(url: SecretStr) -> SecretStr:
    parse_redis_url(url.get_secret_value())
    return url


def _checked_if_any(url: SecretStr) -> SecretStr:
    return _checked(url) if url.get_secret_value() else url


RedisUrl = Annotated[SecretStr, AfterValidator(_checked)]
"""A setting that is such a URL."""

OptionalRedisUrl = Annotated[SecretStr, AfterValidator(_checked_if_any)]
"""The same, or empty where there is no Redis."""
