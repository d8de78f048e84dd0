"""One hash per user."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("CREATE TABLE password.readiness (id int PRIMARY KEY, checked_at timestamptz NOT NULL DEFAULT now())")
    op.execute(
        """
        CREATE TABLE password.passwords (
            user_id uuid PRIMARY KEY,
            hash text NOT NULL,
            changed_at timestamptz NOT NULL
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE password.passwords")
    op.execute("DROP TABLE password.readiness")
