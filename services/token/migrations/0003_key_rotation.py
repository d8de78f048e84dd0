"""When a key signs and when it stopped, and which wrapping key encrypts it."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE token.signing_keys
            ADD COLUMN activates_at timestamptz,
            ADD COLUMN retired_at timestamptz,
            ADD COLUMN wrapped_by text NOT NULL DEFAULT ''
        """
    )


def downgrade() -> None:
    op.execute(
        """
        ALTER TABLE token.signing_keys
            DROP COLUMN activates_at,
            DROP COLUMN retired_at,
            DROP COLUMN wrapped_by
        """
    )
