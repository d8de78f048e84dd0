"""Migrations bring every schema up, whoever starts first, and give each role its own schema alone."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
import pytest

from cli.components import schemas
from shared.bus.permissions import SERVICES
from shared.postgres import Database
from shared.postgres.migrate import migrate
from tests.support.urls import ServerUrls

AWKWARD = 'p:a\'ss\\w%o/rd$$ "1"'


@dataclass(frozen=True)
class Empty:
    """A database without anything, and names for two services' roles."""

    url: str
    roles: dict[str, str]

    def role_url(self, service: str) -> str:
        """How the service connects."""
        parts = urlsplit(self.url)
        login = f"{self.roles[service]}:{quote(AWKWARD, safe='')}"
        return urlunsplit(parts._replace(netloc=f"{login}@{parts.hostname}:{parts.port}"))


@pytest.fixture
async def empty(server_urls: ServerUrls, worker: str) -> AsyncIterator[Empty]:
    """Made for the test and dropped with its roles."""
    name = f"dragoman_test_{worker}_empty"
    roles = {service: f"{name} {service}".replace(" ", "_") for service in ("identity", "otp")}
    parts = urlsplit(server_urls.postgres)
    admin = await asyncpg.connect(server_urls.postgres)

    async def drop() -> None:
        await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        for role in roles.values():
            await admin.execute(f'DROP ROLE IF EXISTS "{role}"')

    try:
        await drop()
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        yield Empty(urlunsplit(parts._replace(path=f"/{name}")), roles)
        await drop()
    finally:
        await admin.close()


async def test_replicas_that_start_together_migrate_once(empty: Empty) -> None:
    """Three migrations at the same time all end well, and a later one finds nothing to do."""
    urls = {service: empty.role_url(service) for service in empty.roles}
    outcomes = await asyncio.gather(*(migrate(empty.url, schemas(urls)) for _ in range(3)))
    assert set(outcomes[0]) == set(SERVICES)
    assert outcomes[0] == outcomes[1] == outcomes[2] == await migrate(empty.url, schemas(urls))


async def test_a_service_reaches_its_own_tables_and_no_others(empty: Empty) -> None:
    """The role in a service's URL works in its schema and is refused everywhere else."""
    await migrate(empty.url, schemas({service: empty.role_url(service) for service in empty.roles}))
    async with Database(empty.role_url("identity"), name="test") as database:
        await database.check_writable("identity")
        for forbidden in (
            "SELECT 1 FROM otp.readiness",
            "INSERT INTO otp.readiness (id) VALUES (1)",
            "UPDATE identity.migrations SET version_num = '0'",
            "CREATE TABLE identity.mine (id int)",
            "CREATE TABLE public.mine (id int)",
            "DROP TABLE identity.readiness",
            "CREATE ROLE another",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await database.execute(forbidden)


async def test_the_owner_as_a_service_needs_no_grants(empty: Empty) -> None:
    """A single role for everything is possible, in development for example."""
    await migrate(empty.url, schemas(dict.fromkeys(SERVICES, empty.url)))
    async with Database(empty.url, name="test") as database:
        for service in SERVICES:
            await database.check_writable(service)
