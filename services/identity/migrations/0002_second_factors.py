"""Second factors, and since when a user's password counts."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE identity.users
            ADD COLUMN email_second_factor boolean NOT NULL DEFAULT false,
            ADD COLUMN password_changed_at timestamptz
        """
    )
    op.execute(
        """
        CREATE TABLE identity.totp (
            user_id uuid PRIMARY KEY REFERENCES identity.users ON DELETE CASCADE,
            wrapped_secret bytea NOT NULL,
            last_step bigint NOT NULL,
            enabled_at timestamptz NOT NULL
        )
        """
    )
    op.execute(
        """
        CREATE TABLE identity.recovery_codes (
            user_id uuid NOT NULL REFERENCES identity.users ON DELETE CASCADE,
            digest bytea NOT NULL,
            PRIMARY KEY (user_id, digest)
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE identity.recovery_codes")
    op.execute("DROP TABLE identity.totp")
    op.execute("ALTER TABLE identity.users DROP COLUMN email_second_factor, DROP COLUMN password_changed_at")
