"""How many access tokens a refresh token that does not rotate has yielded."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("ALTER TABLE token.sessions ADD COLUMN refreshes integer NOT NULL DEFAULT 0")


def downgrade() -> None:
    op.execute("ALTER TABLE token.sessions DROP COLUMN refreshes")
