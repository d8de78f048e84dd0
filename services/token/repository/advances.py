"""Sessions that are refreshed in the same turn of the event loop, advanced in one statement and one commit."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from services.token.domain.sessions import Refresh, Session
from services.token.repository.session_rows import NAMES, session_of
from shared.postgres import Database
from shared.together import Together

# A session that somebody else has locked is left out, so that nobody waits for a stranger's session, and two of these
# statements never for each other.
_ADVANCE_ALL = f"""
    WITH current AS (
        SELECT sessions.id, presented.now, presented.expires_at
        FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[])
            AS presented (id, counter, client_id, dialect, now, expires_at)
        JOIN token.sessions USING (id, counter, client_id, dialect)
        WHERE sessions.revoked_at IS NULL AND sessions.expires_at > presented.now
        FOR UPDATE OF sessions SKIP LOCKED
    )
    UPDATE token.sessions SET counter = counter + 1, rotated_at = current.now, expires_at = current.expires_at
    FROM current WHERE sessions.id = current.id
    RETURNING {", ".join(f"sessions.{name}" for name in NAMES)}
"""


class Advances:
    """Advances sessions whose current refresh token is presented."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # A commit is what costs (docs/performance.md).
        self._together: Together[Refresh, Session] = Together(self._advance)

    async def advance(self, refresh: Refresh) -> Session | None:
        """The session, advanced; None where that is not this simple.

        So it is with any token but the current one, with another client's or an ended session, and with one that is
        being changed at this moment.
        """
        return await self._together.ask(refresh)

    async def _advance(self, presented: Sequence[Refresh]) -> dict[Refresh, Session]:
        # The first of those that present a token of the same session; the others are told that it is not simple.
        first: dict[UUID, Refresh] = {}
        for refresh in presented:
            first.setdefault(refresh.token.session_id, refresh)
        columns: list[Sequence[Any]] = [*zip(*(_row(refresh) for refresh in first.values()), strict=True)]
        rows = await self._database.fetch(_ADVANCE_ALL, *columns)
        return {first[row["id"]]: session_of(row) for row in rows}


def _row(refresh: Refresh) -> tuple[Any, ...]:
    token = refresh.token
    return token.session_id, token.counter, refresh.client_id, refresh.dialect, refresh.now, refresh.expires_at
