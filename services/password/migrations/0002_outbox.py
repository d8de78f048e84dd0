"""The outbox, by which a change of a password is told."""

from alembic import op

from shared.postgres.revisions import create_outbox

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for statement in create_outbox("password"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE password.outbox")
