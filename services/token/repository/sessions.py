"""Sessions in PostgreSQL: one row each, however often it is refreshed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from services.token.domain import clients
from services.token.domain.refresh_tokens import RefreshToken
from services.token.domain.sessions import Refresh, Session
from services.token.repository.advances import Advances
from services.token.repository.revocations import RevocationRepository
from services.token.repository.session_rows import NAMES, session_of
from shared.bus.outbox import Inbox, Outbox
from shared.contracts.token import Dialect, RevocationKind, SessionRevoked, TokensRevoked
from shared.errors import Error, ErrorCode
from shared.postgres import Connection, Database

_FOR_OTHERS = 3
"""Connections that the table of sessions leaves to clients, keys, revocations and events, whatever becomes of it."""

_COLUMNS = ", ".join(NAMES)
_LOCK_USER = "SELECT pg_advisory_xact_lock(hashtextextended($1::text, 0))"
_LOCK_USER_SHARED = "SELECT pg_advisory_xact_lock_shared(hashtextextended($1::text, 0))"
_INSERT = f"""
    INSERT INTO token.sessions ({_COLUMNS})
    SELECT $1, $2, $3, $4, $5, $6, 0, $7, $7, $8
    WHERE NOT EXISTS (SELECT 1 FROM token.user_cutoffs WHERE user_id = $2 AND ended_before >= $7)
    RETURNING id
"""
_ADVANCE = f"""
    UPDATE token.sessions SET counter = counter + 1, rotated_at = $5, expires_at = $6
    WHERE id = $1 AND counter = $2 AND client_id = $3 AND dialect = $4 AND revoked_at IS NULL AND expires_at > $5
    RETURNING {_COLUMNS}
"""
_COUNT_USE = f"""
    UPDATE token.sessions SET refreshes = refreshes + 1
    WHERE id = $1 AND counter = $2 AND client_id = $3 AND dialect = $4 AND revoked_at IS NULL AND expires_at > $5
      AND refreshes < $6
    RETURNING {_COLUMNS}
"""
_FIND = f"SELECT {_COLUMNS}, revoked_at FROM token.sessions WHERE id = $1"
_FIND_LOCKED = f"{_FIND} FOR UPDATE"
_REVOKE = """
    UPDATE token.sessions SET revoked_at = $2, revoked_reason = $3 WHERE id = $1 AND revoked_at IS NULL
    RETURNING id, user_id, client_id
"""
_FIND_LIVE = f"""
    SELECT {_COLUMNS} FROM token.sessions
    WHERE id = $1 AND counter = $2 AND client_id = $3 AND revoked_at IS NULL AND expires_at > $4
"""
_REVOKE_ONE = """
    UPDATE token.sessions SET revoked_at = $2, revoked_reason = $3
    WHERE id = $1 AND revoked_at IS NULL
      AND ($4::text IS NULL OR client_id = $4) AND ($5::text IS NULL OR dialect = $5)
    RETURNING id, user_id, client_id
"""
_CUT_OFF = """
    INSERT INTO token.user_cutoffs (user_id, ended_before) VALUES ($1, $2)
    ON CONFLICT (user_id) DO UPDATE SET ended_before = greatest(user_cutoffs.ended_before, excluded.ended_before)
"""
_REVOKE_OF_USER = """
    UPDATE token.sessions SET revoked_at = $3, revoked_reason = $4
    WHERE user_id = $1 AND revoked_at IS NULL AND created_at <= $2
    RETURNING id, user_id, client_id
"""
_YOUNGEST_OF_USER = "SELECT max(created_at) FROM token.sessions WHERE user_id = $1 AND revoked_at IS NULL"
_PAGES = "SELECT pg_relation_size('token.sessions') / current_setting('block_size')::int AS pages"
# Not by id: the rows are locked, so that they stay where they were found, and the index need not be asked again.
_DELETE_EXPIRED = """
    WITH deleted AS (
        DELETE FROM token.sessions WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM token.sessions WHERE ctid >= $2 AND ctid < $3 AND expires_at < $1 FOR UPDATE SKIP LOCKED
        ))
        RETURNING 1
    )
    SELECT count(*) AS deleted FROM deleted
"""


class SessionRepository:
    """Sessions; whatever ends one is told in the same transaction."""

    def __init__(self, database: Database, outbox: Outbox, inbox: Inbox, revocations: RevocationRepository) -> None:
        self._database = database.all_but(_FOR_OTHERS)
        self._whole = database
        self._outbox = outbox
        self._inbox = inbox
        self._revocations = revocations
        self._advances = Advances(self._database)

    async def insert(self, session: Session) -> None:
        """Begin a session, whose `created_at` is since when the proof counts.

        Raises `session_revoked` when all of the user's sessions were ended since then: the lock makes sure that
        either we see that, or it sees this session.
        """
        async with self._database.transaction() as connection:
            await connection.execute(_LOCK_USER_SHARED, str(session.user_id))
            inserted = await connection.fetchval(
                _INSERT,
                session.id,
                session.user_id,
                session.client_id,
                session.dialect,
                session.scope,
                session.methods,
                session.created_at,
                session.expires_at,
            )
        if inserted is None:
            raise Error(ErrorCode.SESSION_REVOKED, "the user's sessions were ended meanwhile")

    async def refresh(self, refresh: Refresh) -> Session:
        """Advance the session when its current token is presented; answer the one before it alike, within the grace.

        Any other token of the session has been used before: the session ends (RFC 9700 §4.14.2), and that is told.
        Raises session_unknown, session_expired, session_revoked, session_replayed, invalid_scope; after the last the
        token is as good as before.
        """
        # The usual case. A scope is looked at before the session is advanced for good, so it has no part in this.
        if refresh.scope is None and (advanced := await self._advances.advance(refresh)) is not None:
            return advanced
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(
                _ADVANCE,
                refresh.token.session_id,
                refresh.token.counter,
                refresh.client_id,
                refresh.dialect,
                refresh.now,
                refresh.expires_at,
            )
            if row is not None:
                session = session_of(row)
                clients.narrow_scope(refresh.scope, session.scopes)
                return session
            session, replayed = await self._not_current(connection, refresh)
        # Raised only here, so that the end of the session is committed.
        if replayed:
            raise Error(ErrorCode.SESSION_REPLAYED, "a used refresh token came again: its session has ended")
        return session

    async def find(self, refresh: Refresh) -> Session:
        """The session of a refresh token that does not rotate.

        Raises session_unknown, session_expired, session_revoked, invalid_scope.
        """
        session = _live(await self._database.fetchrow(_FIND, refresh.token.session_id), refresh)
        if refresh.token.counter != session.counter:
            raise Error(ErrorCode.SESSION_UNKNOWN, "the session has no such refresh token")
        clients.narrow_scope(refresh.scope, session.scopes)
        return session

    async def use(self, refresh: Refresh, limit: int) -> Session:
        """As `find`, and count it against the refresh token's `limit`; nothing else of the session changes.

        Raises also refresh_limit_reached, with the time until the refresh token ends by itself.
        """
        token = refresh.token
        row = await self._database.fetchrow(
            _COUNT_USE, token.session_id, token.counter, refresh.client_id, refresh.dialect, refresh.now, limit
        )
        if row is not None:
            return session_of(row)
        session = await self.find(refresh)
        raise Error(
            ErrorCode.REFRESH_LIMIT_REACHED,
            "the refresh token has yielded all its access tokens",
            retry_after=(session.expires_at - refresh.now).total_seconds(),
        )

    async def _not_current(self, connection: Connection, refresh: Refresh) -> tuple[Session, bool]:
        session = _live(await connection.fetchrow(_FIND_LOCKED, refresh.token.session_id), refresh)
        one_behind = refresh.token.counter + 1 == session.counter
        if one_behind and refresh.now - session.rotated_at <= refresh.grace:
            clients.narrow_scope(refresh.scope, session.scopes)
            return session, False
        ended = await connection.fetch(_REVOKE, session.id, refresh.now, "replayed")
        await self._tell(connection, ended, refresh.now, "replayed")
        return session, True

    async def end_all_of_user(
        self,
        event_id: UUID | None,
        user_id: UUID,
        before: datetime,
        now: datetime,
        reason: str,
        *,
        whatever_there_is: bool = False,
    ) -> int | None:
        """End the user's sessions begun until `before`, and their tokens.

        With `whatever_there_is` also those that are younger by the clock of the replica that began them.
        Returns how many sessions, None for an event (`event_id`) that was handled before.
        """
        async with self._database.transaction() as connection:
            if event_id is not None and not await self._inbox.is_new(connection, event_id):
                return None
            await connection.execute(_LOCK_USER, str(user_id))
            if whatever_there_is:
                before = max(before, await connection.fetchval(_YOUNGEST_OF_USER, user_id) or before)
            await self._revocations.add(connection, "user", [str(user_id)], reason, now, before)
            await connection.execute(_CUT_OFF, user_id, before)
            ended = await connection.fetch(_REVOKE_OF_USER, user_id, before, now, reason)
            await self._tell(connection, ended, now, reason)
            event = TokensRevoked(kind="user", value=str(user_id), reason=reason, revoked_at=now)
            await self._outbox.add(connection, event)
            return len(ended)

    async def end(
        self,
        session_id: UUID,
        now: datetime,
        reason: str,
        *,
        client_id: str | None = None,
        dialect: Dialect | None = None,
    ) -> bool:
        """End one session, only if it is of `client_id` and of `dialect` where given; returns whether it was alive.

        One whose refresh token has expired counts as alive: an access token of it may still be in its time.
        """
        async with self._database.transaction() as connection:
            ended = await connection.fetch(_REVOKE_ONE, session_id, now, reason, client_id, dialect)
            await self._tell(connection, ended, now, reason)
            return bool(ended)

    async def revoke(self, kind: RevocationKind, value: str, now: datetime, reason: str) -> None:
        """Refuse a token, a client's tokens so far, or whatever a key signed; and tell of it."""
        async with self._whole.transaction() as connection:
            issued_before = now if kind == "client" else None
            await self._revocations.add(connection, kind, [value], reason, now, issued_before)
            event = TokensRevoked(kind=kind, value=value, reason=reason, revoked_at=now)
            await self._outbox.add(connection, event)

    async def find_live(self, token: RefreshToken, client_id: str, now: datetime) -> Session | None:
        """The session whose current refresh token this is, while it is alive and the client's."""
        row = await self._database.fetchrow(_FIND_LIVE, token.session_id, token.counter, client_id, now)
        return None if row is None else session_of(row)

    async def pages(self) -> int:
        """How many pages PostgreSQL keeps the sessions on."""
        row = await self._database.fetchrow(_PAGES)
        assert row is not None
        return int(row["pages"])

    async def delete_expired(self, before: datetime, page: int, pages: int) -> int:
        """Delete what expired before `before` on so many pages from `page` on; returns how many sessions.

        One that is being changed at the moment is left alone, so that nobody waits.
        """
        row = await self._database.fetchrow(_DELETE_EXPIRED, before, (page, 0), (page + pages, 0))
        assert row is not None
        return int(row["deleted"])

    async def _tell(self, connection: Connection, ended: Sequence[Any], now: datetime, reason: str) -> None:
        if ended:
            await self._revocations.add(connection, "session", [str(row["id"]) for row in ended], reason, now)
        for row in ended:
            event = SessionRevoked(
                session_id=row["id"],
                user_id=row["user_id"],
                client_id=row["client_id"],
                reason=reason,
                revoked_at=now,
            )
            await self._outbox.add(connection, event)


def _live(row: Any, refresh: Refresh) -> Session:
    if row is None or row["client_id"] != refresh.client_id or row["dialect"] != refresh.dialect:
        raise Error(ErrorCode.SESSION_UNKNOWN, "no session of this client has that refresh token")
    session = session_of(row)
    if row["revoked_at"] is not None:
        raise Error(ErrorCode.SESSION_REVOKED, "the session has ended")
    if session.expires_at <= refresh.now:
        raise Error(ErrorCode.SESSION_EXPIRED, "the refresh token has expired")
    return session
