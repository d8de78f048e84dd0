"""Every revision can be applied while services run on the schema: squawk, which knows PostgreSQL's locks, says so."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory

from cli.checks.versions import POSTGRESQL
from cli.components import schemas
from shared.bus.permissions import SERVICES
from shared.postgres.migrate import TIMEOUTS

_SMALL = "a number that stays small: attempts of an event, uses of a session, the id of the only row"
EXCUSED: Mapping[str, Mapping[str, str]] = {
    "token 0001": {"prefer-bigint-over-int": _SMALL},
    "token 0004": {"prefer-bigint-over-int": _SMALL},
    "token 0005": {"require-concurrent-index-deletion": "it reads nothing, and gives up rather than wait for readers"},
    "identity 0001": {"prefer-bigint-over-int": _SMALL},
    "otp 0001": {"prefer-bigint-over-int": _SMALL},
    "password 0001": {"prefer-bigint-over-int": _SMALL},
    "password 0002": {"prefer-bigint-over-int": _SMALL},
}
"""By revision, which of squawk's rules it breaks and why that is right all the same; what is not here breaks none."""

_INDEX = "CREATE INDEX {how}IF NOT EXISTS sessions_by_scope ON token.sessions (scope)"
BAD = {
    "require-concurrent-index-creation": _INDEX.format(how=""),
    "ban-concurrent-index-creation-in-transaction": _INDEX.format(how="CONCURRENTLY "),
    "adding-required-field": "ALTER TABLE token.sessions ADD COLUMN note text NOT NULL",
    "adding-field-with-default": "ALTER TABLE token.sessions ADD COLUMN note uuid DEFAULT gen_random_uuid()",
    "adding-not-nullable-field": "ALTER TABLE token.sessions ALTER COLUMN scope SET NOT NULL",
    "changing-column-type": "ALTER TABLE token.sessions ALTER COLUMN counter TYPE bigint",
    "constraint-missing-not-valid": "ALTER TABLE token.sessions ADD CONSTRAINT positive CHECK (counter >= 0)",
    "renaming-column": "ALTER TABLE token.sessions RENAME COLUMN scope TO scopes",
    "ban-drop-column": "ALTER TABLE token.sessions DROP COLUMN scope",
    "ban-drop-table": "DROP TABLE token.user_cutoffs",
    "syntax-error": "SELECT 1 FORM token.sessions",
}
"""Statements that stop the traffic or break the version before, by the rule that says so."""


def _folders() -> Iterator[tuple[str, Path]]:
    for service, (folder, _) in schemas({}).items():
        yield service, folder


def sent(folder: Path) -> Iterator[tuple[str, str]]:
    """Each revision of a folder, and all that `dragoman migrate` sends to the server for it."""
    settings = "".join(f"SET {name} = '{value}';\n" for name, value in TIMEOUTS.items())
    for script in ScriptDirectory(str(folder), version_locations=[str(folder)]).walk_revisions():
        text = io.StringIO()
        context = MigrationContext.configure(
            dialect_name="postgresql", opts={"as_sql": True, "output_buffer": text, "transactional_ddl": True}
        )
        with context.begin_transaction(), Operations.context(context):
            script.module.upgrade()
        yield script.revision, settings + text.getvalue()


def broken_rules(sql: str) -> dict[str, str]:
    """The rules of squawk that these statements break, each with what it says."""
    squawk = Path(sys.executable).with_name("squawk")
    version = ".".join(map(str, POSTGRESQL.needed))
    command = [str(squawk), f"--pg-version={version}", "--reporter=json"]
    ended = subprocess.run(command, input=sql, text=True, capture_output=True, check=False, timeout=60)
    return {one["rule_name"]: f"line {one['line'] + 1}: {one['message']}" for one in json.loads(ended.stdout)}


REVISIONS = {f"{service} {revision}": sql for service, folder in _folders() for revision, sql in sent(folder)}


@pytest.mark.parametrize("name", sorted(REVISIONS))
def test_a_revision_harms_nobody_who_works_meanwhile(name: str) -> None:
    """It breaks no rule but those that it is excused from, and there is no excuse that it does not need."""
    broken = broken_rules(REVISIONS[name])
    assert broken.keys() == EXCUSED.get(name, {}).keys(), (broken, REVISIONS[name])


def test_every_revision_is_looked_at() -> None:
    """There is one of each service, and no excuse for one that is not there."""
    assert {name.partition(" ")[0] for name in REVISIONS} == set(SERVICES)
    assert EXCUSED.keys() <= REVISIONS.keys()


@pytest.mark.parametrize("rule", BAD)
def test_a_new_revision_that_would_do_harm_is_told(tmp_path: Path, rule: str) -> None:
    """Whatever stops the traffic or breaks the version before is red."""
    assert rule in broken_rules(_revision(tmp_path, f"    op.execute({BAD[rule]!r})"))


def test_an_index_can_be_made_beside_the_traffic(tmp_path: Path) -> None:
    """Concurrently, outside of the revision's transaction: that is how to do it."""
    index = _INDEX.format(how="CONCURRENTLY ")
    assert (
        broken_rules(
            _revision(
                tmp_path,
                "    with op.get_context().autocommit_block():",
                "        op.execute('DROP INDEX CONCURRENTLY IF EXISTS token.sessions_by_scope')",
                f"        op.execute({index!r})",
            )
        )
        == {}
    )


def _revision(folder: Path, *lines: str) -> str:
    """What a revision of these lines sends."""
    text = ["from alembic import op", 'revision = "0001"', "down_revision = None", "def upgrade():", *lines, ""]
    (folder / "0001_new.py").write_text("\n".join(text))
    [(_, sql)] = sent(folder)
    return sql
