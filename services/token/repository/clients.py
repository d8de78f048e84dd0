"""OAuth clients in PostgreSQL."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import asyncpg

from services.token.domain.clients import ClientSecret, OAuthClient, may_be_client_id
from services.token.repository.revocations import RevocationRepository
from shared.bus.outbox import Outbox
from shared.contracts.token import TokensRevoked
from shared.errors import Error, ErrorCode
from shared.postgres import Connection, Database
from shared.together import Together

_SELECT = """
    SELECT c.client_id, c.name, c.grants, c.scopes, c.audiences, c.created_at,
           s.id AS secret_id, s.kind, s.digest, s.created_at AS secret_created_at, s.expires_at
    FROM token.clients c
    LEFT JOIN token.client_secrets s ON s.client_id = c.client_id
"""
_FIND = f"{_SELECT} WHERE c.client_id = ANY ($1) ORDER BY c.client_id, s.created_at DESC"
_ALL = f"{_SELECT} ORDER BY c.client_id, s.created_at DESC"
_INSERT = """
    INSERT INTO token.clients (client_id, name, grants, scopes, audiences, created_at) VALUES ($1, $2, $3, $4, $5, $6)
"""
_INSERT_SECRET = """
    INSERT INTO token.client_secrets (id, client_id, kind, digest, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6)
"""
_LOCK = "SELECT 1 FROM token.clients WHERE client_id = $1 FOR UPDATE"
_END_OLD_SECRETS = """
    UPDATE token.client_secrets SET expires_at = least(coalesce(expires_at, $2), $2) WHERE client_id = $1
"""
_DROP_ALL_BUT_NEWEST = """
    DELETE FROM token.client_secrets WHERE client_id = $1 AND id NOT IN
        (SELECT id FROM token.client_secrets WHERE client_id = $1 ORDER BY created_at DESC LIMIT 1)
"""


class ClientRepository:
    """Clients and their secrets; at most two secrets of a client are live."""

    def __init__(self, database: Database, outbox: Outbox, revocations: RevocationRepository) -> None:
        self._database = database
        self._outbox = outbox
        self._revocations = revocations
        # At 64 requests at once a statement finds the clients of about twenty (docs/performance.md).
        self._together = Together(self._fetch)

    async def find(self, client_id: str, now: datetime) -> OAuthClient | None:
        """The client with its secrets that are live `now`, None without one."""
        client = await self._together.ask(client_id) if may_be_client_id(client_id) else None
        return None if client is None else client.without_expired(now)

    async def all(self, now: datetime) -> list[OAuthClient]:
        """Every client with its secrets that are live `now`, ordered by id."""
        return [client.without_expired(now) for client in _clients(await self._database.fetch(_ALL))]

    async def _fetch(self, client_ids: Sequence[str]) -> dict[str, OAuthClient]:
        return {client.client_id: client for client in _clients(await self._database.fetch(_FIND, client_ids))}

    async def insert(self, client: OAuthClient, *, replace: bool) -> None:
        """Add a client. Raises `conflict` when the id is taken and not to be replaced."""
        try:
            async with self._database.transaction() as connection:
                if replace:
                    await connection.execute("DELETE FROM token.clients WHERE client_id = $1", client.client_id)
                await connection.execute(
                    _INSERT,
                    client.client_id,
                    client.name,
                    client.grants,
                    client.scopes,
                    client.audiences,
                    client.created_at,
                )
                for secret in client.secrets:
                    await _insert_secret(connection, client.client_id, secret)
        except asyncpg.UniqueViolationError:
            raise Error(ErrorCode.CONFLICT, "the client id is taken", detail={"field": "client_id"}) from None

    async def rotate_secret(self, client_id: str, secret: ClientSecret, old_until: datetime) -> None:
        """Add a secret; the one before it ends at `old_until` and any older one now, so that two are live.

        Raises `not_found` for an unknown client.
        """
        async with self._database.transaction() as connection:
            # The row lock keeps two rotations at once from leaving three secrets.
            if not (may_be_client_id(client_id) and await connection.fetchval(_LOCK, client_id)):
                raise Error(ErrorCode.NOT_FOUND, "there is no such client")
            await connection.execute(_DROP_ALL_BUT_NEWEST, client_id)
            await connection.execute(_END_OLD_SECRETS, client_id, old_until)
            await _insert_secret(connection, client_id, secret)

    async def withdraw_secrets(self, client_id: str, now: datetime) -> None:
        """End every secret but the newest, and every token of the client until now; tell of it.

        Raises `not_found` for an unknown client.
        """
        async with self._database.transaction() as connection:
            if not await connection.fetchval("SELECT 1 FROM token.clients WHERE client_id = $1 FOR UPDATE", client_id):
                raise Error(ErrorCode.NOT_FOUND, "there is no such client")
            await connection.execute(_DROP_ALL_BUT_NEWEST, client_id)
            await self._revocations.add(connection, "client", [client_id], "secret_withdrawn", now, now)
            event = TokensRevoked(kind="client", value=client_id, reason="secret_withdrawn", revoked_at=now)
            await self._outbox.add(connection, event)


async def _insert_secret(connection: Connection, client_id: str, secret: ClientSecret) -> None:
    await connection.execute(
        _INSERT_SECRET, secret.id, client_id, secret.kind, secret.digest, secret.created_at, secret.expires_at
    )


def _clients(rows: Iterable[Any]) -> Iterator[OAuthClient]:
    for _, group in itertools.groupby(rows, key=lambda row: row["client_id"]):
        of_one = list(group)
        first = of_one[0]
        yield OAuthClient(
            client_id=first["client_id"],
            name=first["name"],
            grants=tuple(first["grants"]),
            scopes=tuple(first["scopes"]),
            audiences=tuple(first["audiences"]),
            created_at=first["created_at"],
            secrets=tuple(
                ClientSecret(row["secret_id"], row["kind"], row["digest"], row["secret_created_at"], row["expires_at"])
                for row in of_one
                if row["secret_id"] is not None
            ),
        )
