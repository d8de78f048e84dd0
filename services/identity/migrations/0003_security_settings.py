"""Settings that operators change while everything runs; one that nobody has changed has no row."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE identity.security_settings (
            name text PRIMARY KEY,
            value text,
            changed_at timestamptz NOT NULL,
            changed_by text NOT NULL
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE identity.security_settings")
