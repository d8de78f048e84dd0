"""Alembic's entry: runs the revisions of one schema on the connection that `shared.postgres.migrate` opened."""

from alembic import context
from sqlalchemy import text

connection = context.config.attributes["connection"]
schema = context.config.attributes["schema"]
timeouts = context.config.attributes["timeouts"]


def hold_to_timeouts(*_: object, **__: object) -> None:
    """Take back what a revision has allowed itself."""
    for name, value in timeouts.items():
        connection.execute(text(f"SET {name} = '{value}'"))


context.configure(
    connection=connection,
    version_table="migrations",
    version_table_schema=schema,
    transaction_per_migration=True,  # so that locks are let go soon, and what is done stays done
    on_version_apply=hold_to_timeouts,
)
with context.begin_transaction():
    context.run_migrations()
