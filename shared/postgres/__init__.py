"""PostgreSQL: a pool that fails clearly and leaves a demoted primary, and migrations."""

from shared.postgres.database import Connection, Database

__all__ = ["Connection", "Database"]
