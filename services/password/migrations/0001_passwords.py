"""One hash per user."""

from alembic import op

from shared.postgres.revisions import create_readiness

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE password.passwords (
            user_id uuid PRIMARY KEY,
            hash text NOT NULL,
            changed_at timestamptz NOT NULL
        )
        """
    )
    for statement in create_readiness("password"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE password.passwords")
    op.execute("DROP TABLE password.readiness")
