"""OAuth clients: registered, listed, given new secrets."""

from dataclasses import dataclass
from datetime import timedelta

from pydantic import SecretStr

from services.token.domain import clients
from services.token.domain.clients import ClientSecret, OAuthClient
from services.token.repository.clients import ClientRepository
from shared.clock import Clock
from shared.contracts import token as contract
from shared.contracts.token import Client, ClientList, ClientSecretInfo
from shared.entropy import Entropy
from shared.errors import Error, ErrorCode
from shared.hashing import HashPool

_LONGEST_OVERLAP = 366 * 86_400
"""Seconds; a secret that shall live longer was not meant to be rotated."""


@dataclass(frozen=True)
class ClientService:
    """What operators do with clients."""

    clients: ClientRepository
    pool: HashPool
    clock: Clock
    entropy: Entropy

    async def create_client(self, call: contract.CreateClient) -> Client:
        """Register a client; the answer is the only place where a generated secret is ever shown."""
        clients.check_registration(call.client_id, call.name, call.scopes, call.audiences)
        secret, shown = await self._new_secret(call.client_secret)
        client = OAuthClient(
            client_id=call.client_id,
            name=call.name,
            grants=tuple(dict.fromkeys(call.grants)),
            scopes=tuple(dict.fromkeys(call.scopes)),
            audiences=tuple(dict.fromkeys(call.audiences)),
            created_at=self.clock.now(),
            secrets=(secret,),
        )
        await self.clients.insert(client, replace=call.replace)
        return _shown(client, shown)

    async def rotate_client_secret(self, call: contract.RotateClientSecret) -> Client:
        """Give a client a second secret and the first one an end."""
        if not 0 <= call.overlap <= _LONGEST_OVERLAP:
            raise Error(
                ErrorCode.INVALID_REQUEST, "the overlap is from 0 seconds to 366 days", detail={"field": "overlap"}
            )
        secret, shown = await self._new_secret(None)
        now = self.clock.now()
        await self.clients.rotate_secret(call.client_id, secret, now + timedelta(seconds=call.overlap))
        client = await self.clients.find(call.client_id, now)
        if client is None:
            raise Error(ErrorCode.NOT_FOUND, "there is no such client")
        return _shown(client, shown)

    async def _new_secret(self, brought: SecretStr | None) -> tuple[ClientSecret, str | None]:
        secret_id, now = self.entropy.uuid(), self.clock.now()
        if brought is not None:
            if not brought.get_secret_value():
                raise Error(
                    ErrorCode.INVALID_REQUEST, "an empty secret opens nothing", detail={"field": "client_secret"}
                )
            digest = await self.pool.run(clients.digest_brought, brought.get_secret_value())
            return ClientSecret(secret_id, "argon2id", digest, now, None), None
        generated = clients.generate_secret(self.entropy)
        return ClientSecret(secret_id, "sha256", clients.digest_generated(generated), now, None), generated

    async def list_clients(self, _call: contract.ListClients) -> ClientList:
        """All clients, without secrets."""
        return ClientList(clients=[_shown(client) for client in await self.clients.all(self.clock.now())])

    async def withdraw_client_secrets(self, call: contract.WithdrawClientSecrets) -> Client:
        """End every secret but the newest, and whatever the client was given before now."""
        now = self.clock.now()
        await self.clients.withdraw_secrets(call.client_id, now)
        client = await self.clients.find(call.client_id, now)
        if client is None:
            raise Error(ErrorCode.NOT_FOUND, "there is no such client")
        return _shown(client)


def _shown(client: OAuthClient, generated: str | None = None) -> Client:
    return Client(
        client_id=client.client_id,
        name=client.name,
        grants=list(client.grants),
        scopes=list(client.scopes),
        audiences=list(client.audiences),
        created_at=client.created_at,
        secrets=[
            ClientSecretInfo(id=secret.id, created_at=secret.created_at, expires_at=secret.expires_at)
            for secret in client.secrets
        ],
        client_secret=generated,
    )
