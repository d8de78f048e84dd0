"""Users, one row each, every identifier unique in its canonical form."""

from alembic import op

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
    op.execute(
        """
        CREATE TABLE identity.outbox (
            id uuid PRIMARY KEY,
            position bigint GENERATED ALWAYS AS IDENTITY,
            subject text NOT NULL,
            body bytea NOT NULL,
            request_id text NOT NULL,
            attempts integer NOT NULL DEFAULT 0,
            due_at timestamptz NOT NULL DEFAULT now(),
            created_at timestamptz NOT NULL DEFAULT now()
        )
        """
    )
    op.execute("CREATE INDEX outbox_due ON identity.outbox (due_at, position)")
    op.execute(
        "CREATE TABLE identity.readiness (id integer PRIMARY KEY, checked_at timestamptz NOT NULL DEFAULT now())"
    )


def downgrade() -> None:
    for table in ("users", "outbox", "readiness"):
        op.execute(f"DROP TABLE identity.{table}")
