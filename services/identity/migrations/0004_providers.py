"""External providers, and whom they have signed in."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE identity.providers (
            name text PRIMARY KEY,
            configuration jsonb NOT NULL,
            changed_at timestamptz NOT NULL
        )
        """
    )
    op.execute(
        """
        CREATE TABLE identity.provider_links (
            provider text NOT NULL REFERENCES identity.providers ON DELETE CASCADE,
            subject text NOT NULL,
            user_id uuid NOT NULL REFERENCES identity.users ON DELETE CASCADE,
            linked_at timestamptz NOT NULL,
            PRIMARY KEY (provider, subject)
        )
        """
    )
    op.execute("CREATE INDEX provider_links_of_user ON identity.provider_links (user_id)")


def downgrade() -> None:
    op.execute("DROP TABLE identity.provider_links")
    op.execute("DROP TABLE identity.providers")
