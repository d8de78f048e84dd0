"""URLs of PostgreSQL and RabbitMQ, looked at before anybody connects.

    postgresql://[user:password@]host[:port][,host[:port]…][/database][?option=value&…]
    amqp://[user:password@]host[:port][/virtual-host][?option=value&…]

Refused is what leads nowhere whatever the servers are like, and what would lead elsewhere than it says. What is told of
it repeats nothing: there may be a password in it.
"""

import re
from typing import Annotated
from urllib.parse import SplitResult, parse_qs, urlsplit

from pydantic import AfterValidator, SecretStr

_HOSTS = re.compile(r"(?P<before>\w+://(?:[^/?#]*@)?)(?P<hosts>[^/?#@]+)(?P<after>(?:[/?#].*)?)", re.DOTALL)


def one_each(url: str) -> list[str]:
    """The same PostgreSQL URL for each of its hosts alone."""
    parts = _HOSTS.fullmatch(url)
    if parts is None:
        return [url]
    return [f"{parts['before']}{host}{parts['after']}" for host in parts["hosts"].split(",")]


def check_postgres_url(url: str) -> None:
    """Raises ValueError that says what is wrong with a PostgreSQL URL."""
    urls = one_each(url)
    for one in urls:
        parts = _split(one, "postgresql", "postgres")
        if parts.netloc.count("@") > 1:
            raise ValueError("an @ in its user or password has to be written %40")
        try:
            words = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
        except ValueError:
            raise ValueError("behind the ? there has to be option=value, more of them after an &") from None
        if not all(port.isdecimal() for ports in words.get("port", []) for port in ports.split(",")):
            raise ValueError("a port is no number")
        # Where the URL begins with three slashes, the driver looks for a database of that name where it always does.
        is_elsewhere = "host" in words or "service" in words or (not parts.netloc and parts.path.strip("/"))
        if not parts.hostname and (len(urls) > 1 or not is_elsewhere):
            raise ValueError("a host is missing (for a socket it is behind the ?: host=/folder)")


def check_rabbitmq_url(url: str) -> None:
    """Raises ValueError that says what is wrong with an AMQP URL."""
    host = _split(url, "amqp", "amqps").hostname
    if not host:
        raise ValueError("a host is missing")
    if "," in host:
        raise ValueError("there are several hosts, and it takes one")


def _split(url: str, *schemes: str) -> SplitResult:
    scheme, separator, _ = url.strip().partition("://")
    if not separator or scheme.lower() not in schemes:
        raise ValueError(f"begins with none of {', '.join(f'{one}://' for one in schemes)}")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("a port is no number up to 65535, or a host cannot be read") from None
    return parts


def _postgres(url: SecretStr) -> SecretStr:
    check_postgres_url(url.get_secret_value())
    return url


def _rabbitmq(url: SecretStr) -> SecretStr:
    check_rabbitmq_url(url.get_secret_value())
    return url


PostgresUrl = Annotated[SecretStr, AfterValidator(_postgres)]
"""A setting that leads to a database."""

RabbitmqUrl = Annotated[SecretStr, AfterValidator(_rabbitmq)]
"""A setting that leads to a broker."""
