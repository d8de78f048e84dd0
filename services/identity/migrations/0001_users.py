"""Users, one row each, every identifier unique in its canonical form."""

from alembic import op

from shared.postgres.revisions import create_outbox, create_readiness

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE identity.users (
            id uuid PRIMARY KEY,
            email text UNIQUE,
            phone text UNIQUE,
            username text UNIQUE,
            state text NOT NULL DEFAULT 'active'
                CONSTRAINT users_state_known CHECK (state IN ('active', 'suspended', 'must_change_password')),
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            CONSTRAINT users_have_an_identifier CHECK (num_nonnulls(email, phone, username) > 0)
        )
        """
    )
    op.execute("CREATE INDEX users_in_order ON identity.users (created_at, id)")
    for statement in (*create_outbox("identity"), *create_readiness("identity")):
        op.execute(statement)


def downgrade() -> None:
    for table in ("users", "outbox", "readiness"):
        op.execute(f"DROP TABLE identity.{table}")
