"""Migrating from the command line; apart from the rest, since Alembic and SQLAlchemy take half a second to import."""

import asyncio

import asyncpg
import click
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from cli.components import PostgresUrls, schemas
from shared.postgres.migrate import migrate

_FAULTS = (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError, DBAPIError, CommandError)


def migrate_all(urls: PostgresUrls) -> dict[str, str]:
    """Migrate every schema; returns its revisions, and prints which of them are newer than this version's own.

    Raises `click.ClickException` with the reason in one line.
    """
    if urls.owner is None:
        raise click.ClickException("DRAGOMAN_POSTGRES_URL is not set")
    try:
        return asyncio.run(migrate(urls.owner, schemas(urls.services), _tell))
    except _FAULTS as error:
        reason = str(error.orig if isinstance(error, DBAPIError) else error).partition("\n")[0]
        raise click.ClickException(f"the database cannot be migrated: {reason}") from None


def _tell(line: str) -> None:
    click.echo(line, err=True)  # apart from the document that is on standard output
