"""Clients with their secrets, signing keys, sessions."""

from alembic import op

from shared.postgres.revisions import create_inbox, create_outbox, create_readiness

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE token.clients (
            client_id text PRIMARY KEY,
            name text NOT NULL,
            grants text[] NOT NULL,
            scopes text[] NOT NULL,
            audiences text[] NOT NULL,
            created_at timestamptz NOT NULL
        )
        """
    )
    op.execute(
        """
        CREATE TABLE token.client_secrets (
            id uuid PRIMARY KEY,
            client_id text NOT NULL REFERENCES token.clients ON DELETE CASCADE,
            kind text NOT NULL CONSTRAINT client_secrets_kind_known CHECK (kind IN ('sha256', 'argon2id')),
            digest text NOT NULL,
            created_at timestamptz NOT NULL,
            expires_at timestamptz
        )
        """
    )
    op.execute("CREATE INDEX client_secrets_of_client ON token.client_secrets (client_id)")
    op.execute(
        """
        CREATE TABLE token.signing_keys (
            kid text PRIMARY KEY,
            algorithm text NOT NULL,
            state text NOT NULL CONSTRAINT signing_keys_state_known CHECK (state IN ('next', 'active', 'retired')),
            public_jwk text NOT NULL,
            wrapped_private_key bytea NOT NULL,
            created_at timestamptz NOT NULL
        )
        """
    )
    # One key signs at a time, however many replicas start together.
    op.execute("CREATE UNIQUE INDEX signing_keys_one_active ON token.signing_keys (state) WHERE state = 'active'")
    op.execute(
        """
        CREATE TABLE token.sessions (
            id uuid PRIMARY KEY,
            user_id uuid NOT NULL,
            client_id text NOT NULL,
            dialect text NOT NULL,
            scope text,
            methods text[] NOT NULL,
            counter integer NOT NULL DEFAULT 0,
            created_at timestamptz NOT NULL,
            rotated_at timestamptz NOT NULL,
            expires_at timestamptz NOT NULL,
            revoked_at timestamptz,
            revoked_reason text
        )
        """
    )
    op.execute("CREATE INDEX sessions_live_of_user ON token.sessions (user_id) WHERE revoked_at IS NULL")
    op.execute("CREATE INDEX sessions_by_expiry ON token.sessions (expires_at)")
    # Whoever proved who they are before this moment has no session, even if the proof is still on its way.
    op.execute(
        """
        CREATE TABLE token.user_cutoffs (
            user_id uuid PRIMARY KEY,
            ended_before timestamptz NOT NULL
        )
        """
    )
    for statement in (*create_outbox("token"), *create_inbox("token"), *create_readiness("token")):
        op.execute(statement)


def downgrade() -> None:
    for table in (
        "client_secrets",
        "clients",
        "signing_keys",
        "sessions",
        "user_cutoffs",
        "outbox",
        "inbox",
        "readiness",
    ):
        op.execute(f"DROP TABLE token.{table}")
