"""URLs of PostgreSQL and RabbitMQ: which are taken, and how a wrong one is told."""

from typing import ClassVar

import pytest

from shared.server_urls import PostgresUrl
from shared.settings import Settings, SettingsError

RIGHT = {"DRAGOMAN_RABBITMQ_URL": "amqp://broker/", "DRAGOMAN_POSTGRES_URL": "postgresql://server/x"}


class StoringSettings(Settings):
    """Settings of a component with a database."""

    component: ClassVar[str] = "otp"

    postgres_url: PostgresUrl


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://server",
        "postgres://user:pass%40word@server:5432/x?sslmode=verify-full",
        "POSTGRESQL://server/x",
        "postgresql://server:/x",
        "postgresql://u:p@one:5432,two:5433/x",
        "postgresql://u:p@one,[::1]:5432/x?target_session_attrs=read-write",
        "postgresql://[::1]:5432,[::2]/x",
        "postgresql://u:p@%2Frun%2Fpostgresql/x",
        "postgresql://u:p@/x?host=/run/postgresql",
        "postgresql://u,v:p@/x?host=/run/postgresql&port=5433",
        "postgresql:///x?host=one,two&port=1,2",
        "postgresql://?service=dragoman",
        "postgresql:///x",
    ],
)
def test_what_the_driver_takes_for_a_database(url: str) -> None:
    """One host or several, a socket, a service file, or a database on the driver's own socket."""
    assert StoringSettings.load(RIGHT | {"DRAGOMAN_POSTGRES_URL": url}).postgres_url.get_secret_value() == url


@pytest.mark.parametrize(
    "url",
    [
        "amqp://broker",
        "amqps://user:pass%2Fword@broker:5671/host?cafile=/etc/ca.pem",
        "AMQP://broker:/",
        "amqp://[::1]:5672/%2F",
    ],
)
def test_what_the_driver_takes_for_a_broker(url: str) -> None:
    """One host, with TLS or without."""
    assert StoringSettings.load(RIGHT | {"DRAGOMAN_RABBITMQ_URL": url}).rabbitmq_url.get_secret_value() == url


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("hidden", "begins with none of postgresql://, postgres://"),
        ("http://hidden", "begins with none of"),
        ("mysql://u:hidden@server/x", "begins with none of"),
        ("amqp://u:hidden@server/x", "begins with none of"),
        ("postgresql:hidden", "begins with none of"),
        ("postgresql://", "a host is missing"),
        ("postgresql:///", "a host is missing"),
        ("postgresql://u:hidden@/x", "a host is missing"),
        ("postgresql://u:hidden@:5432/x", "a host is missing"),
        ("postgresql://u:hidden@one,/x", "a host is missing"),
        ("postgresql://u:hidden@one,,two/x", "a host is missing"),
        ("postgresql://u:hidden@/x?port=5432", "a host is missing"),
        ("postgresql://u:hidden@server:port/x", "a port is no number"),
        ("postgresql://u:p@one:5432,two:hidden/x", "a port is no number"),
        ("postgresql://u:p@server:70000/hidden", "a port is no number"),
        ("postgresql://u:p/hidden@server/x", "a port is no number"),
        ("postgresql:///x?host=server&port=hidden", "a port is no number"),
        ("postgresql://u:hid@den@server/x", "an @ in its user or password"),
        ("postgresql://server/x?hidden", "behind the ?"),
    ],
)
def test_what_no_database_is_at(url: str, told: str) -> None:
    """The check of the settings says what is wrong, and repeats nothing of it: there may be a password in it."""
    with pytest.raises(SettingsError) as raised:
        StoringSettings.load(RIGHT | {"DRAGOMAN_POSTGRES_URL": url})
    [problem] = raised.value.problems
    assert problem.startswith(f"DRAGOMAN_POSTGRES_URL: {told}")
    assert "hid" not in problem


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("hidden", "begins with none of amqp://, amqps://"),
        ("http://hidden", "begins with none of"),
        ("amqp:hidden", "begins with none of"),
        ("amqp://", "a host is missing"),
        ("amqp://u:hidden@/x", "a host is missing"),
        ("amqp://u:hidden@:5672/x", "a host is missing"),
        ("amqp://u:hidden@server:port/x", "a port is no number"),
        ("amqp://u:p/hidden@server/x", "a port is no number"),
        ("amqp://u:hidden@one:1,two:2/x", "a port is no number"),
        ("amqp://u:hidden@one,two/x", "there are several hosts"),
    ],
)
def test_what_no_broker_is_at(url: str, told: str) -> None:
    """The same for the broker."""
    with pytest.raises(SettingsError) as raised:
        StoringSettings.load(RIGHT | {"DRAGOMAN_RABBITMQ_URL": url})
    [problem] = raised.value.problems
    assert problem.startswith(f"DRAGOMAN_RABBITMQ_URL: {told}")
    assert "hidden" not in problem
