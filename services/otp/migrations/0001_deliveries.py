"""Deliveries of codes, one row each: what the outbox was asked for and what came of it.

The row is also how a repeated event is recognised, which is why this schema has no inbox.
"""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE otp.deliveries (
            event_id uuid PRIMARY KEY,
            code_id uuid NOT NULL,
            channel text NOT NULL,
            target bytea NOT NULL,
            state text NOT NULL CONSTRAINT deliveries_state_known
                CHECK (state IN ('requested', 'withheld', 'sent', 'failed', 'expired', 'superseded')),
            requested_at timestamptz NOT NULL,
            attempts integer NOT NULL DEFAULT 0,
            claimed_until timestamptz,
            detail text NOT NULL DEFAULT '',
            finished_at timestamptz
        )
        """
    )
    op.execute("CREATE INDEX deliveries_of_code ON otp.deliveries (code_id)")
    op.execute("CREATE INDEX deliveries_to_target ON otp.deliveries (target, requested_at)")
    op.execute("CREATE INDEX deliveries_by_age ON otp.deliveries (requested_at)")
    op.execute(
        """
        CREATE TABLE otp.outbox (
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
    op.execute("CREATE INDEX outbox_due ON otp.outbox (due_at, position)")
    op.execute("CREATE TABLE otp.readiness (id integer PRIMARY KEY, checked_at timestamptz NOT NULL DEFAULT now())")


def downgrade() -> None:
    for table in ("deliveries", "outbox", "readiness"):
        op.execute(f"DROP TABLE otp.{table}")
