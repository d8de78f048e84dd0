"""Schemas as an earlier version left them and as the next one will: the revisions of all services, fewer or more.

`python -m tests.faults.schema <folder> migrate` is the operators' command with the revisions that are there.
"""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import asyncpg

from cli import components
from cli.main import main
from deploy.running.environment import SERVICES
from shared.postgres.migrate import migrate
from tests.support.platform import Platform, Replica

_REVISION = """\
from alembic import op

revision = "{number:04}"
down_revision = "{before:04}"


def upgrade() -> None:
{body}
"""
_ADDITIONS = """\
    for table in {tables}:
        op.execute(f"ALTER TABLE {schema}.{{table}} ADD COLUMN since_the_next_version jsonb")
    op.execute("CREATE TABLE {schema}.of_the_next_version (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY)")
"""
# Of its own, since what comes before the block is committed, and would be done again after a failure.
_INDEX = """\
    with op.get_context().autocommit_block():
        # It waits for transactions that are under way, and nobody waits behind it.
        op.execute("SET lock_timeout = '60s'")
        op.execute("SET statement_timeout = '60s'")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS {schema}.since_the_next_version")  # half-made, maybe
        op.execute("CREATE INDEX CONCURRENTLY IF NOT EXISTS since_the_next_version ON {schema}.readiness (checked_at)")
"""


class Revisions:
    """Copies of today's revisions under `folder`, of some services only those up to a number."""

    def __init__(self, folder: Path, numbers: Mapping[str, int] | None = None) -> None:
        self._folder = folder
        for service, (original, _) in components.schemas({}).items():
            shutil.copytree(original, self._of(service), ignore=shutil.ignore_patterns("__pycache__"))
        for service, number in (numbers or {}).items():
            for file in self._files(service)[number:]:
                file.unlink()

    def newest(self) -> dict[str, int]:
        """The number of each service's newest revision."""
        return {service: len(self._files(service)) for service in SERVICES}

    async def add_next(self, platform: Platform) -> None:
        """Add what the next version brings to each service: a column to every table, a table, and an index."""
        connection = await asyncpg.connect(platform.environment["DRAGOMAN_POSTGRES_URL"])
        try:
            for service, number in self.newest().items():
                rows = await connection.fetch(
                    "SELECT tablename FROM pg_tables WHERE schemaname = $1 AND tablename <> 'migrations' ORDER BY 1",
                    service,
                )
                tables = [row["tablename"] for row in rows]
                for one, template in enumerate((_ADDITIONS, _INDEX), number + 1):
                    body = template.format(schema=service, tables=tables)
                    text = _REVISION.format(number=one, before=one - 1, body=body)
                    (self._of(service) / f"{one:04}_next.py").write_text(text)
        finally:
            await connection.close()

    async def apply(self, platform: Platform) -> None:
        """Bring the platform's database to the newest of them."""
        told = platform.environment
        urls = {service: told[f"DRAGOMAN_{service.upper()}_POSTGRES_URL"] for service in SERVICES}
        folders = {service: (self._of(service), url) for service, (_, url) in components.schemas(urls).items()}
        await migrate(told["DRAGOMAN_POSTGRES_URL"], folders)

    def start_migration(self, platform: Platform) -> Replica:
        """The same as a process of its own, which is not waited for."""
        command = [sys.executable, "-m", "tests.faults.schema", str(self._folder), "migrate"]
        return platform._launch("migrate", command, platform.environment)

    def _of(self, service: str) -> Path:
        return self._folder / "services" / service / "migrations"

    def _files(self, service: str) -> list[Path]:
        return sorted(self._of(service).glob("[0-9]*.py"))


if __name__ == "__main__":
    components.ROOT = Path(sys.argv[1])
    main(sys.argv[2:])
