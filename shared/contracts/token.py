"""What `token` answers and tells: grants, keys, clients, sessions."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from shared.bus.messages import Call, Event, Message, Reply, Secret

Dialect = Literal["oauth2", "backoffice", "enterprise", "directus"]
Grant = Literal["client_credentials", "password", "refresh_token"]


class TokenSet(Reply):
    """What a grant yields. `expires_in` is the access token's life in seconds."""

    access_token: Secret
    expires_in: int
    issued_at: datetime
    refresh_token: Secret | None = None
    refresh_expires_in: int | None = None
    scope: str | None = None
    session_id: UUID | None = None


class ClientProof(Message):
    """Who asks. Everything is optional on the wire, so that `token` can answer in the order of checks (RFC 6749 §5.2).

    `scope` is space-separated (RFC 6749 §3.3).
    """

    dialect: Dialect = "oauth2"
    client_id: str | None = None
    client_secret: Secret | None = None
    scope: str | None = None


class GrantClientCredentials(
    ClientProof, Call[TokenSet], subject="token.grant_client_credentials.v1", callers=("gateway",), idempotent=True
):
    """An access token for the client itself (RFC 6749 §4.4); never a refresh token."""


class GrantPassword(ClientProof, Call[TokenSet], subject="token.grant_password.v1", callers=("gateway",), timeout=5.0):
    """A session for a user who gave a password or a live one-time code (RFC 6749 §4.3, seed 000).

    Not idempotent: done twice it would leave a session that nobody holds.
    """

    username: str | None = None
    password: Secret | None = None


class GrantRefreshToken(
    ClientProof, Call[TokenSet], subject="token.grant_refresh_token.v1", callers=("gateway",), idempotent=True
):
    """New tokens for a session (RFC 6749 §6); repeated inside the grace it yields the same successor."""

    refresh_token: Secret | None = None


class KeySet(Reply):
    """Public keys as a JWK Set (RFC 7517 §5)."""

    keys: list[dict[str, Any]]


class GetKeys(Call[KeySet], subject="token.get_keys.v1", callers=("gateway",), idempotent=True):
    """The public keys by which access tokens are verified."""


class ClientSecretInfo(Message):
    """One live secret of a client, without the secret."""

    id: UUID
    created_at: datetime
    expires_at: datetime | None = None


class Client(Reply):
    """An OAuth client as operators see it. `client_secret` is present only in the answer that made it."""

    client_id: str
    name: str
    grants: list[Grant]
    scopes: list[str]
    audiences: list[str]
    created_at: datetime
    secrets: list[ClientSecretInfo] = []
    client_secret: Secret | None = None


class ClientList(Reply):
    """Clients ordered by id."""

    clients: list[Client]


class CreateClient(Call[Client], subject="token.create_client.v1", callers=("operator",)):
    """Register a client. Without a secret of its own it gets a generated one of 256 bits.

    `replace` overwrites a client of the same id, its secrets too; otherwise the id is a `conflict`.
    """

    client_id: str
    name: str = ""
    client_secret: Secret | None = None
    grants: list[Grant] = ["client_credentials", "refresh_token"]
    scopes: list[str] = []
    audiences: list[str] = []
    replace: bool = False


class RotateClientSecret(Call[Client], subject="token.rotate_client_secret.v1", callers=("operator",)):
    """Give a client a second live secret; the older ones end after `overlap` seconds."""

    client_id: str
    overlap: int = 86400


class ListClients(Call[ClientList], subject="token.list_clients.v1", callers=("operator",), idempotent=True):
    """All clients."""


class SessionRevoked(Event, subject="token.session_revoked.v1"):
    """A session ended before its time; `reason` is a stable word: replayed, user_suspended, password_changed."""

    session_id: UUID
    user_id: UUID
    client_id: str
    reason: str
    revoked_at: datetime
