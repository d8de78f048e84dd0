"""Bring every schema to its newest revision, and give each service's role what it needs and no more.

Safe when several start together: an advisory lock lets one work, the others find nothing left to do.
Revisions only expand: the version before must be able to run on the new schema (docs/decisions/0005).
"""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

_LOCK = 7_247_301_552
"""The key of the advisory lock; any number that nobody else uses."""

_LOCK_TIMEOUT = "5s"
"""A revision that waits longer for a table lock fails instead of stopping the traffic behind it."""


async def migrate(owner_url: str, schemas: dict[str, tuple[Path, str | None]]) -> dict[str, str]:
    """Migrate each schema; returns the revision that each stands at now.

    `owner_url` names the database and a role that may create schemas (and roles, when some are missing);
    `schemas` gives for each the folder of its revisions and the URL by which its service will connect: the role in
    that URL is created with the password in it when it does not exist, and gets rights on its own schema alone.
    """
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(owner_url))
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
            await connection.execute(text(f"SET lock_timeout = '{_LOCK_TIMEOUT}'"))
            await connection.commit()
            revisions = {}
            for schema, (folder, service_url) in schemas.items():
                await connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'))
                await connection.commit()
                revisions[schema] = await connection.run_sync(_upgrade, schema, folder)
                await connection.commit()
                if service_url is not None:
                    await _grant(connection, schema, owner_url, service_url)
                    await connection.commit()
            return revisions
    finally:
        await engine.dispose()


def _upgrade(connection: Connection, schema: str, folder: Path) -> str:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "alembic"))
    config.set_main_option("version_locations", str(folder))
    config.set_main_option("path_separator", "newline")
    config.attributes.update(connection=connection, schema=schema)
    command.upgrade(config, "head")
    return str(connection.execute(text(f'SELECT version_num FROM "{schema}".migrations')).scalar_one())


async def _grant(connection: AsyncConnection, schema: str, owner_url: str, service_url: str) -> None:
    role, password = _credentials(service_url)
    if role is None or role == _credentials(owner_url)[0]:
        return
    await _ensure_role(connection, role, password)
    quoted = (await connection.execute(text("SELECT quote_ident(:role)"), {"role": role})).scalar_one()
    for statement in (
        f'GRANT USAGE ON SCHEMA "{schema}" TO {quoted}',
        f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "{schema}" TO {quoted}',
        f'GRANT USAGE ON ALL SEQUENCES IN SCHEMA "{schema}" TO {quoted}',
        f'REVOKE INSERT, UPDATE, DELETE ON "{schema}".migrations FROM {quoted}',
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
