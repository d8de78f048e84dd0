"""Signing keys in PostgreSQL, their private halves encrypted."""

from collections.abc import Callable

from services.token.domain.key_rotation import Keys, StoredKey
from shared.postgres import Database

_COLUMNS = "kid, algorithm, state, public_jwk, wrapped_private_key, wrapped_by, created_at, activates_at, retired_at"
# The active key first, since some verifiers take the first that they find; then by age, the newest first.
_ALL = f"SELECT {_COLUMNS} FROM token.signing_keys ORDER BY state <> 'active', created_at DESC, kid"
_LOCK = "LOCK TABLE token.signing_keys IN SHARE ROW EXCLUSIVE MODE"
_DELETE = "DELETE FROM token.signing_keys WHERE kid = ANY($1)"
_WRITE = f"""
    INSERT INTO token.signing_keys ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (kid) DO UPDATE SET
        state = excluded.state, wrapped_private_key = excluded.wrapped_private_key, wrapped_by = excluded.wrapped_by,
        activates_at = excluded.activates_at, retired_at = excluded.retired_at
"""


class KeyRepository:
    """The platform's signing keys; a handful, so they are read and changed together."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> Keys:
        """Every key, in the order in which they are published."""
        return tuple(StoredKey(*row) for row in await self._database.fetch(_ALL))

    async def change(self, decide: Callable[[Keys], Keys]) -> tuple[Keys, Keys]:
        """Make the keys what `decide` makes of them, one change at a time on all replicas; returns before and after.

        Readers see all of it or nothing. What `decide` raises changes nothing.
        """
        async with self._database.transaction() as connection:
            await connection.execute(_LOCK)
            before = tuple(StoredKey(*row) for row in await connection.fetch(_ALL))
            after = decide(before)
            kept = {key.kid for key in after}
            await connection.execute(_DELETE, [key.kid for key in before if key.kid not in kept])
            # The active key last, so that there are never two.
            for key in sorted(set(after) - set(before), key=lambda key: key.state == "active"):
                await connection.execute(
                    _WRITE,
                    key.kid,
                    key.algorithm,
                    key.state,
                    key.public_jwk,
                    key.wrapped_private_key,
                    key.wrapped_by,
                    key.created_at,
                    key.activates_at,
                    key.retired_at,
                )
        return before, after
