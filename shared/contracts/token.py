"""What `token` answers and tells: grants, keys, clients, sessions."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from shared.bus.messages import Call, Done, Event, Message, Reply, Secret

Dialect = Literal["oauth2", "backoffice", "enterprise", "directus"]
Grant = Literal["client_credentials", "password", "refresh_token"]
RevocationKind = Literal["session", "user", "client", "token", "key"]


class TokenSet(Reply):
    """What a grant yields. `expires_in` is the access token's life in seconds."""

    access_token: Secret
    expires_in: int
    issued_at: datetime
    refresh_token: Secret | None = None
    refresh_expires_in: int | None = None
    scope: str | None = None
    session_id: UUID | None = None
    id_token: Secret | None = None


class ClientProof(Message):
    """Who asks. Everything is optional on the wire, so that `token` can answer in the order of checks (RFC 6749 §5.2).

    `scope` is space-separated (RFC 6749 §3.3). Only `oauth2` has clients of its own; each other dialect is one client,
    called like the dialect and proved by nothing.
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
    source: str | None = None


class GrantRefreshToken(
    ClientProof, Call[TokenSet], subject="token.grant_refresh_token.v1", callers=("gateway",), idempotent=True
):
    """New tokens for a session (RFC 6749 §6); repeated inside the grace it yields the same successor.

    `enterprise` keeps its refresh token, gives a limited number of access tokens for it (refresh_limit_reached), and
    wants the `username` to be the session's user's.
    """

    refresh_token: Secret | None = None
    username: str | None = None


class SignInChallenge(Message):
    """What comes before the tokens: `token` is to be handed back to `ContinueSignIn` until `expires_at`.

    A challenge without a token can't be met in this dialect.
    """

    kind: Literal["new_password", "second_factor"]
    token: Secret | None = None
    factor: Literal["email", "totp"] | None = None
    expires_at: datetime | None = None


class SignedIn(Reply):
    """Either tokens or a challenge."""

    tokens: TokenSet | None = None
    challenge: SignInChallenge | None = None


class SignIn(Call[SignedIn], subject="token.sign_in.v1", callers=("gateway",), timeout=5.0):
    """A session, or what comes first, for a user of a dialect without clients of its own.

    `code` is a second factor that is proved together with the password (`directus`); `source` is where the request came
    from, as in identity.authenticate.v1.
    Errors: those of identity.authenticate.v1. Not idempotent: done twice it would leave a session that nobody holds.
    """

    dialect: Dialect
    identifier: str
    password: Secret
    code: Secret | None = None
    source: str | None = None


class ContinueSignIn(Call[SignedIn], subject="token.continue_sign_in.v1", callers=("gateway",), timeout=5.0):
    """Answer the challenge of a sign-in. Errors: those of identity.answer_challenge.v1."""

    dialect: Dialect
    kind: Literal["new_password", "second_factor"]
    token: Secret
    code: Secret | None = None
    new_password: Secret | None = None
    identifier: str | None = None
    source: str | None = None


class SignInWithProvider(Call[SignedIn], subject="token.sign_in_with_provider.v1", callers=("gateway",), timeout=5.0):
    """A session, or what comes first, for somebody whom an external provider has sent back.

    The fields are those of identity.authenticate_by_provider.v1, and so are the errors. A challenge is answered by
    `ContinueSignIn`. Not idempotent: the state and the code are spent by it.
    """

    dialect: Dialect
    provider: str
    state: Secret
    browser: Secret
    code: Secret
    issuer: str | None = None
    source: str | None = None


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


class Revocation(Message):
    """What is refused from now on, although it verifies.

    `session`, `token`, `key`: whatever has that `sid`, `jti`, `kid`. `user`, `client`: whatever of that `sub`,
    `client_id` was issued before `issued_before`. After `expires_at` nothing it names can be alive.
    """

    kind: RevocationKind
    value: str
    issued_before: datetime | None = None
    expires_at: datetime


class RevocationList(Reply):
    """Every revocation that still matters."""

    revocations: list[Revocation]


class GetRevocations(Call[RevocationList], subject="token.get_revocations.v1", callers=("gateway",), idempotent=True):
    """The snapshot from which a follower of the feed begins."""


class Revoked(Reply):
    """What was ended just now, nothing where nothing was left to end; the feed tells everybody else of it."""

    revocations: list[Revocation] = []


class RevokeToken(ClientProof, Call[Revoked], subject="token.revoke_token.v1", callers=("gateway",), idempotent=True):
    """End what a client's token stands for (RFC 7009): the whole session for a user's, else that token alone.

    A token that is unknown, expired or another client's is no error and changes nothing.
    """

    token: Secret | None = None


class SessionEnded(Reply):
    """Whether there was a live session to end; `revocations` are what the feed is about to tell of it."""

    ended: bool
    revocations: list[Revocation] = []


class EndSession(Call[SessionEnded], subject="token.end_session.v1", callers=("gateway",), idempotent=True):
    """Sign out: end a session of this dialect with all its tokens, by its id or by any refresh token it ever had."""

    dialect: Dialect
    session_id: UUID | None = None
    refresh_token: Secret | None = None


class Introspection(Reply):
    """What a token says, or `active` false and nothing else (RFC 7662 §2.2)."""

    active: bool
    claims: dict[str, Any] = {}


class IntrospectToken(
    ClientProof, Call[Introspection], subject="token.introspect_token.v1", callers=("gateway",), idempotent=True
):
    """Whether a token is good at this moment (RFC 7662); any client of the platform may ask.

    An answer, whatever it says, means that the client has proved itself.
    """

    token: Secret | None = None


class Revoke(Call[Done], subject="token.revoke.v1", callers=("operator",), idempotent=True):
    """Refuse all that `value` names: a session id, a user id (with its sessions), a client id, or a token id."""

    kind: Literal["session", "user", "client", "token"]
    value: str


class WithdrawClientSecrets(
    Call[Client], subject="token.withdraw_client_secrets.v1", callers=("operator",), idempotent=True
):
    """End all secrets of a client but the newest, and every token that it got before now."""

    client_id: str


class SessionRevoked(Event, subject="token.session_revoked.v1"):
    """A session ended before its time; `reason` is a stable word: replayed, user_suspended, password_changed."""

    session_id: UUID
    user_id: UUID
    client_id: str
    reason: str
    revoked_at: datetime


class TokensRevoked(Event, subject="token.tokens_revoked.v1"):
    """Tokens were revoked other than by their session: of a `user`, of a `client`, one `token`, or all of a `key`."""

    kind: RevocationKind
    value: str
    reason: str
    revoked_at: datetime


SigningAlgorithm = Literal["ES256", "RS256", "EdDSA"]
SigningKeyState = Literal["next", "active", "retired"]


class SigningKeyInfo(Message):
    """A signing key as operators see it. All that are listed are published.

    `created_at`: published since. `activates_at`: signs since, or from then on; none for one that waits to be called.
    `wrapped_by` names the wrapping key that encrypts it, empty when that was not noted.
    """

    kid: str
    algorithm: SigningAlgorithm
    state: SigningKeyState
    created_at: datetime
    activates_at: datetime | None = None
    retired_at: datetime | None = None
    wrapped_by: str = ""


class SigningKeyList(Reply):
    """All signing keys, the active one first, then the newest."""

    keys: list[SigningKeyInfo]


class ListSigningKeys(
    Call[SigningKeyList], subject="token.list_signing_keys.v1", callers=("operator",), idempotent=True
):
    """All signing keys."""


class RotateSigningKey(Call[SigningKeyList], subject="token.rotate_signing_key.v1", callers=("operator",)):
    """Have another key sign once it was published long enough, or `at_once`; by default of the same algorithm."""

    algorithm: SigningAlgorithm | None = None
    at_once: bool = False


class RetireSigningKey(
    Call[SigningKeyList], subject="token.retire_signing_key.v1", callers=("operator",), idempotent=True
):
    """Let a key sign no more, from now on; what it signed stays good."""

    kid: str


class RevokeSigningKey(Call[SigningKeyList], subject="token.revoke_signing_key.v1", callers=("operator",)):
    """Refuse whatever a key signed, and publish it no more."""

    kid: str


class RewrapSigningKeys(
    Call[SigningKeyList], subject="token.rewrap_signing_keys.v1", callers=("operator",), idempotent=True
):
    """Encrypt every private key under the current wrapping key."""
