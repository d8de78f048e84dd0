"""Alembic's entry: runs the revisions of one schema on the connection that `shared.postgres.migrate` opened."""

from alembic import context

connection = context.config.attributes["connection"]
schema = context.config.attributes["schema"]

context.configure(connection=connection, version_table="migrations", version_table_schema=schema)
with context.begin_transaction():
    context.run_migrations()
