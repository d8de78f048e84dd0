"""Makes the platform's database."""

import asyncio
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from deploy.servers import ServerError


def in_database(url: str, name: str) -> str:
    """The same URL for another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def create_database(url: str) -> None:
    """Creates the database of a superuser's URL when it is absent; ServerError when the server can't be reached."""
    try:
        asyncio.run(_create(url))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise ServerError(f"the database can't be opened: {error}") from error


async def _create(url: str) -> None:
    try:
        await (await asyncpg.connect(url)).close()
    except asyncpg.InvalidCatalogNameError:
        name = urlsplit(url).path.removeprefix("/").replace('"', '""')
        server = await asyncpg.connect(in_database(url, "postgres"))
        try:
            await server.execute(f'create database "{name}"')
        finally:
            await server.close()
