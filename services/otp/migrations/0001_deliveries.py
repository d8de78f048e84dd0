"""Deliveries of codes, one row each: what the outbox was asked for and what came of it.

The row is also how a repeated event is recognised, which is why this schema has no inbox.
"""

from alembic import op

from shared.postgres.revisions import create_outbox, create_readiness

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
    for statement in (*create_outbox("otp"), *create_readiness("otp")):
        op.execute(statement)


def downgrade() -> None:
    for table in ("deliveries", "outbox", "readiness"):
        op.execute(f"DROP TABLE otp.{table}")
