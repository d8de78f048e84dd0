"""Statements that the first revision of several schemas has in common.

Revisions are history: what stands here never changes. A later shape of these tables is a later revision.
"""


def create_outbox(schema: str) -> list[str]:
    """The table by which `shared.bus.outbox.Outbox` commits events, as of the first release."""
    return [
        f"""
        CREATE TABLE {schema}.outbox (
            id uuid PRIMARY KEY,
            position bigint GENERATED ALWAYS AS IDENTITY,
            subject text NOT NULL,
            body bytea NOT NULL,
            request_id text NOT NULL,
            attempts integer NOT NULL DEFAULT 0,
            due_at timestamptz NOT NULL DEFAULT now(),
            created_at timestamptz NOT NULL DEFAULT now()
        )
        """,
        f"CREATE INDEX outbox_due ON {schema}.outbox (due_at, position)",
    ]


def create_inbox(schema: str) -> list[str]:
    """The table by which `shared.bus.outbox.Inbox` recognises repeats, as of the first release."""
    return [
        f"CREATE TABLE {schema}.inbox (event_id uuid PRIMARY KEY, handled_at timestamptz NOT NULL DEFAULT now())",
        f"CREATE INDEX inbox_by_age ON {schema}.inbox (handled_at)",
    ]


def create_readiness(schema: str) -> list[str]:
    """The row that `/readyz` writes, as of the first release."""
    return [f"CREATE TABLE {schema}.readiness (id integer PRIMARY KEY, checked_at timestamptz NOT NULL DEFAULT now())"]
