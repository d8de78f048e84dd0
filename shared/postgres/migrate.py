"""Bring every schema to its newest revision, and give each service's role what it needs and no more.

Safe when several start together: an advisory lock lets one work, the others find nothing left to do.
Safe to be killed: each revision commits by itself, with the rights on what it made, and the next run does the rest.
Revisions only expand: the version before must be able to run on the new schema (docs/decisions/0005). So whoever goes
back a version keeps the new schema, and migrating by the version before leaves it as it is.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from shared.postgres.servers import Servers

_LOCK = 7_247_301_552
"""The key of the advisory lock; any number that nobody else uses."""

_CONNECT_SECONDS = 10.0

TIMEOUTS = {"lock_timeout": "300ms", "statement_timeout": "10s"}
"""What every statement of a revision is held to.

Whoever wants a table that a revision waits for waits behind it, so it waits for less than a client would notice and
steps back. A statement that takes longer may hold a lock for as long; a revision whose statements hold none that
matters sets others for itself.
"""

_PAUSE_SECONDS = 1.0
_PATIENCE_SECONDS = 120.0
"""How often, and for how long, a revision is begun again whose tables are in use."""

_TURN_TIMEOUT = "300s"
"""How long to wait for others that migrate."""

_IN_USE = "55P03"
"""SQLSTATE of a lock that was not to be had in time."""


async def migrate(
    owner_url: str, schemas: dict[str, tuple[Path, str | None]], tell: Callable[[str], object] = lambda _line: None
) -> dict[str, str]:
    """Migrate each schema; returns the revision that each stands at now.

    A schema that a newer version has migrated stays where it is; its service's role gets its rights all the same.

    `owner_url` names the database and a role that may create schemas (and roles, when some are missing);
    `schemas` gives for each the folder of its revisions and the URL by which its service will connect: the role in
    that URL is created with the password in it when it does not exist, and gets rights on its own schema alone.
    `tell` is given a line for each schema that is newer.

    Raises alembic's `CommandError` for a schema at a revision that is neither known nor newer.
    """
    servers = Servers(owner_url)
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: servers.connect(_CONNECT_SECONDS))
    try:
        async with engine.connect() as connection:
            await connection.execute(text(f"SET lock_timeout = '{_TURN_TIMEOUT}'"))
            await connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
            for name, value in TIMEOUTS.items():
                await connection.execute(text(f"SET {name} = '{value}'"))
            await connection.commit()
            revisions = {}
            for schema, (folder, service_url) in schemas.items():
                await connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'))
                role = None if service_url is None else await _service_role(connection, owner_url, service_url)
                if role is not None:
                    await _grant_ahead(connection, schema, role)
                await connection.commit()
                revisions[schema] = await _upgrade_patiently(connection, schema, folder, tell)
                if role is not None:
                    await _grant(connection, schema, role)
                    await connection.commit()
            return revisions
    finally:
        await engine.dispose()


async def _upgrade_patiently(
    connection: AsyncConnection, schema: str, folder: Path, tell: Callable[[str], object]
) -> str:
    """Bring one schema up to date, beginning again while its tables are in use."""
    loop = asyncio.get_running_loop()
    end = loop.time() + _PATIENCE_SECONDS
    while True:
        try:
            revision = await connection.run_sync(_upgrade, schema, folder, tell)
            await connection.commit()
            return revision
        except DBAPIError as error:
            await connection.rollback()
            if getattr(error.orig, "sqlstate", None) != _IN_USE or loop.time() > end:
                raise
        await asyncio.sleep(_PAUSE_SECONDS)  # whoever waited behind us goes first


def _upgrade(connection: Connection, schema: str, folder: Path, tell: Callable[[str], object]) -> str:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "alembic"))
    config.set_main_option("version_locations", str(folder))
    config.set_main_option("path_separator", "newline")
    config.attributes.update(connection=connection, schema=schema, timeouts=TIMEOUTS)
    try:
        stands_at, newest = _stands_at(connection, schema), ScriptDirectory.from_config(config).get_current_head()
        if _is_newer(stands_at, newest):
            tell(f"the schema {schema} stands at {stands_at}, newer than this version's {newest}: it is left as it is")
            return stands_at
        connection.commit()  # Alembic commits each revision by itself only where no transaction is under way
        command.upgrade(config, "head")
    except CommandError as error:
        raise CommandError(f"the schema {schema}: {error}") from None
    return _stands_at(connection, schema)


def _stands_at(connection: Connection, schema: str) -> str:
    """The revision of a schema, empty before its first one."""
    options = {"version_table": "migrations", "version_table_schema": schema}
    return ", ".join(MigrationContext.configure(connection, opts=options).get_current_heads())


def _is_newer(stands_at: str, newest: str | None) -> bool:
    """Whether a schema is ahead of the newest revision that is known here; revisions are consecutive numbers."""
    return stands_at.isdecimal() and int(stands_at) > int(newest or 0)


async def _service_role(connection: AsyncConnection, owner_url: str, service_url: str) -> str | None:
    """The role of a service, quoted and existing; None when it is the owner, who needs no rights."""
    role, password = _credentials(service_url)
    if role is None or role == _credentials(owner_url)[0]:
        return None
    await _ensure_role(connection, role, password)
    return str((await connection.execute(text("SELECT quote_ident(:role)"), {"role": role})).scalar_one())


async def _grant_ahead(connection: AsyncConnection, schema: str, role: str) -> None:
    """Have what revisions make be the service's to use from the moment that it is there."""
    for statement in (
        f'GRANT USAGE ON SCHEMA "{schema}" TO {role}',
        f'ALTER DEFAULT PRIVILEGES IN SCHEMA "{schema}" GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {role}',
        f'ALTER DEFAULT PRIVILEGES IN SCHEMA "{schema}" GRANT USAGE ON SEQUENCES TO {role}',
    ):
        await connection.execute(text(statement))


async def _grant(connection: AsyncConnection, schema: str, role: str) -> None:
    """The same for what is there already, and that the service may not say where its schema stands."""
    for statement in (
        f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "{schema}" TO {role}',
        f'GRANT USAGE ON ALL SEQUENCES IN SCHEMA "{schema}" TO {role}',
        f'REVOKE INSERT, UPDATE, DELETE ON "{schema}".migrations FROM {role}',
    ):
        await connection.execute(text(statement))


async def _ensure_role(connection: AsyncConnection, role: str, password: str | None) -> None:
    exists = text("SELECT 1 FROM pg_roles WHERE rolname = :role")
    if (await connection.execute(exists, {"role": role})).first() is not None:
        return
    # A subtransaction, since roles belong to the whole server: the migration of another database may be creating it.
    create = (
        await connection.execute(
            text("SELECT format('CREATE ROLE %I LOGIN PASSWORD %L', CAST(:role AS text), CAST(:password AS text))"),
            {"role": role, "password": password},
        )
    ).scalar_one()
    body = f"BEGIN {create}; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END"
    quoted = (await connection.execute(text("SELECT quote_literal(:body)"), {"body": body})).scalar_one()
    await connection.execute(text(f"DO {quoted}".replace(":", "\\:")))


def _credentials(url: str) -> tuple[str | None, str | None]:
    parts = urlsplit(url)
    return (unquote(parts.username) if parts.username else None, unquote(parts.password) if parts.password else None)
