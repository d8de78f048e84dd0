"""Revocations in PostgreSQL: the truth; Redis only carries them further."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.contracts.token import Revocation, RevocationKind
from shared.postgres import Connection, Database

_INSERT = """
    INSERT INTO token.revocations (kind, value, issued_before, reason, revoked_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6)
"""
_LIVE = """
    SELECT kind, value, issued_before, expires_at FROM token.revocations WHERE expires_at > $1 ORDER BY position
"""
_TO_ANNOUNCE = """
    SELECT position, kind, value, issued_before, expires_at FROM token.revocations
    WHERE announced_at IS NULL ORDER BY position LIMIT $1 FOR UPDATE SKIP LOCKED
"""
_ANNOUNCED = "UPDATE token.revocations SET announced_at = $2 WHERE position = ANY($1)"
_IS_REVOKED = """
    SELECT EXISTS (
        SELECT FROM token.revocations
        WHERE (kind = 'token' AND value = $1) OR (kind = 'session' AND value = $2) OR (kind = 'key' AND value = $3)
           OR (kind = 'user' AND value = $4 AND issued_before > $6)
           OR (kind = 'client' AND value = $5 AND issued_before >= $6)
    )
"""
_DELETE_EXPIRED = """
    DELETE FROM token.revocations WHERE position IN
        (SELECT position FROM token.revocations WHERE expires_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)
    RETURNING position
"""


class RevocationRepository:
    """What is revoked, for as long as something revoked could still be alive."""

    def __init__(self, database: Database, life: timedelta) -> None:
        """`life` is the longest that an access token may live, with what clocks may differ."""
        self._database = database
        self._life = life
        self.added = asyncio.Event()

    async def add(
        self,
        connection: Connection,
        kind: RevocationKind,
        values: Sequence[str],
        reason: str,
        now: datetime,
        issued_before: datetime | None = None,
    ) -> None:
        """Revoke in the caller's transaction; a user and a client need `issued_before`, cut to the grain of `iat`."""
        if issued_before is not None:
            issued_before = issued_before.replace(microsecond=0)
        expires_at = self.until(now)
        await connection.executemany(
            _INSERT, [(kind, value, issued_before, reason, now, expires_at) for value in values]
        )
        # Set before the commit: whoever announces looks again quickly when the first look was in vain.
        self.added.set()

    def until(self, now: datetime) -> datetime:
        """How long a revocation of `now` matters."""
        return now + self._life

    async def live(self, now: datetime) -> list[Revocation]:
        """All that still matter, oldest first."""
        return [_revocation(row) for row in await self._database.fetch(_LIVE, now)]

    async def is_revoked(self, claims: dict[str, Any], kid: str) -> bool:
        """Whether a token with these claims, signed by `kid`, is revoked."""
        row = await self._database.fetchrow(
            _IS_REVOKED,
            claims["jti"],
            claims.get("sid", ""),
            kid,
            claims["sub"],
            claims["client_id"],
            datetime.fromtimestamp(claims["iat"], UTC),
        )
        assert row is not None
        return bool(row["exists"])

    async def announce(
        self, publish: Callable[[Sequence[Revocation]], Awaitable[None]], now: datetime, limit: int
    ) -> int:
        """Publish at most `limit` that were not announced yet; returns how many.

        The rows stay locked meanwhile, so that replicas share the work; after a crash some are announced twice, which
        changes nothing.
        """
        async with self._database.transaction() as connection:
            rows = await connection.fetch(_TO_ANNOUNCE, limit)
            if rows:
                await publish([_revocation(row) for row in rows])
                await connection.execute(_ANNOUNCED, [row["position"] for row in rows], now)
        return len(rows)

    async def delete_expired(self, before: datetime, limit: int) -> int:
        """Delete at most `limit` that no longer matter; returns how many."""
        return len(await self._database.fetch(_DELETE_EXPIRED, before, limit))


def _revocation(row: Any) -> Revocation:
    return Revocation(
        kind=row["kind"], value=row["value"], issued_before=row["issued_before"], expires_at=row["expires_at"]
    )
