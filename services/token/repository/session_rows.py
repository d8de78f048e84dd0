"""Sessions as rows."""

from dataclasses import fields
from typing import Any

from services.token.domain.sessions import Session

NAMES = tuple(field.name for field in fields(Session))
"""The columns that make a session, named as its fields are."""


def session_of(row: Any) -> Session:
    """The session that a row with these columns is."""
    values = {name: row[name] for name in NAMES}
    return Session(**values | {"methods": tuple(row["methods"])})
