"""Who a client is, by its id and secret."""

import asyncio
import hashlib
import hmac
from weakref import WeakValueDictionary

from services.token.domain import clients
from services.token.domain.clients import ClientSecret, OAuthClient
from services.token.domain.dialects import BUILT_IN_CLIENTS
from services.token.repository.clients import ClientRepository
from shared.clock import Clock
from shared.contracts.token import ClientProof, Grant
from shared.entropy import Entropy
from shared.errors import Error, ErrorCode
from shared.hashing import HashPool

_REMEMBERED_SECONDS = 60.0
_REMEMBERED_AT_MOST = 10_000


class ClientAuthentication:
    """Checks client secrets. A slow one, once verified, is remembered in memory for a minute.

    What is remembered is a keyed hash under a key of this process's own, of a secret that is live: one that was
    withdrawn is no longer looked at, since the client is read from PostgreSQL each time.
    """

    def __init__(self, repository: ClientRepository, pool: HashPool, clock: Clock, entropy: Entropy) -> None:
        self._repository = repository
        self._pool = pool
        self._clock = clock
        self._key = entropy.token_bytes(32)
        self._verified: dict[tuple[str, bytes], float] = {}
        self._checking: WeakValueDictionary[tuple[str, bytes], asyncio.Lock] = WeakValueDictionary()

    async def authenticate(self, proof: ClientProof, grant: Grant) -> OAuthClient:
        """The client that `proof` proves, when it may use `grant`.

        Checks in the order of seed 000's origin: id present, client valid, grant allowed.
        Raises invalid_client (with `detail.reason`: missing_id, missing_secret, wrong), unauthorized_client.
        """
        client = await self.identify(
            proof, reason_without_one="missing_secret" if grant == "client_credentials" else "wrong"
        )
        if grant not in client.grants:
            raise Error(ErrorCode.UNAUTHORIZED_CLIENT, f"the client may not use the {grant} grant")
        return client

    async def identify(self, proof: ClientProof, *, reason_without_one: str = "wrong") -> OAuthClient:
        """The client that `proof` proves, whatever it may do. Raises invalid_client, with `detail.reason`.

        A dialect's built-in client proves nothing, so there is nothing it gets here: `invalid_request` for another
        dialect than oauth2, and in that the id of a built-in client is nobody's, even if it was registered once.
        """
        if proof.dialect != "oauth2":
            raise Error(ErrorCode.INVALID_REQUEST, f"{proof.dialect} has no clients that authenticate")
        if not proof.client_id:
            raise _invalid_client("missing_id")
        if proof.client_id in BUILT_IN_CLIENTS:
            raise _invalid_client("wrong")
        client = await self._repository.find(proof.client_id, self._clock.now())
        presented = proof.client_secret.get_secret_value() if proof.client_secret else ""
        if client is None:
            raise _invalid_client("wrong")
        if not presented:
            raise _invalid_client(reason_without_one)
        if not await self._is_one_of(presented, client.secrets):
            raise _invalid_client("wrong")
        return client

    async def _is_one_of(self, presented: str, secrets: tuple[ClientSecret, ...]) -> bool:
        for secret in secrets:
            if secret.kind == "sha256":
                if clients.matches_generated(presented, secret.digest):
                    return True
            elif await self._matches_brought(presented, secret.digest):
                return True
        return False

    async def _matches_brought(self, presented: str, digest: str) -> bool:
        loop = asyncio.get_running_loop()
        key = (digest, hmac.digest(self._key, presented.encode(), hashlib.sha256))
        # One of those who bring the same secret at once hashes it, the others find it verified.
        async with self._checking.setdefault(key, asyncio.Lock()):
            if self._verified.get(key, 0.0) > loop.time():
                return True
            matches = await self._pool.run(clients.matches_brought, presented, digest)
            if matches:
                if len(self._verified) >= _REMEMBERED_AT_MOST:
                    self._verified.clear()
                self._verified[key] = loop.time() + _REMEMBERED_SECONDS
            return matches


def _invalid_client(reason: str) -> Error:
    return Error(ErrorCode.INVALID_CLIENT, "the client is not authenticated", detail={"reason": reason})
