"""Revocations: the truth that the feed is made from."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE token.revocations (
            position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            kind text NOT NULL
                CONSTRAINT revocations_kind_known CHECK (kind IN ('session', 'user', 'client', 'token', 'key')),
            value text NOT NULL,
            issued_before timestamptz,
            reason text NOT NULL,
            revoked_at timestamptz NOT NULL,
            expires_at timestamptz NOT NULL,
            announced_at timestamptz
        )
        """
    )
    op.execute("CREATE INDEX revocations_of_value ON token.revocations (value, kind)")
    op.execute("CREATE INDEX revocations_by_expiry ON token.revocations (expires_at)")
    op.execute("CREATE INDEX revocations_to_announce ON token.revocations (position) WHERE announced_at IS NULL")


def downgrade() -> None:
    op.execute("DROP TABLE token.revocations")
