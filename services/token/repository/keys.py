"""Signing keys in PostgreSQL, their private halves encrypted."""

import json
from datetime import datetime
from typing import Any

from services.token.domain import signing_keys
from services.token.domain.signing_keys import KeyWrapper, SigningKey
from shared.postgres import Database

_ACTIVE = "SELECT kid, wrapped_private_key FROM token.signing_keys WHERE state = 'active'"
_PUBLIC = "SELECT public_jwk FROM token.signing_keys ORDER BY created_at DESC"
_INSERT_ACTIVE = """
    INSERT INTO token.signing_keys (kid, algorithm, state, public_jwk, wrapped_private_key, created_at)
    VALUES ($1, $2, 'active', $3, $4, $5)
    ON CONFLICT DO NOTHING
"""


class KeyRepository:
    """The platform's signing keys."""

    def __init__(self, database: Database, wrapper: KeyWrapper) -> None:
        self._database = database
        self._wrapper = wrapper

    async def active(self, now: datetime) -> SigningKey:
        """The key that signs; made at the very first use, by whichever replica comes first."""
        row = await self._database.fetchrow(_ACTIVE)
        if row is None:
            key = signing_keys.generate()
            await self._database.execute(
                _INSERT_ACTIVE, key.kid, key.algorithm, json.dumps(key.public_jwk), self._wrapper.wrap(key), now
            )
            row = await self._database.fetchrow(_ACTIVE)
            assert row is not None
        return self._wrapper.unwrap(row["kid"], row["wrapped_private_key"])

    async def public(self) -> list[dict[str, Any]]:
        """The public halves of all keys by which a live token may have been signed, newest first."""
        return [json.loads(row["public_jwk"]) for row in await self._database.fetch(_PUBLIC)]
