"""Sign-ins that a provider was asked for, in Redis. Times come from the caller, never from the server."""

from datetime import datetime

from redis.asyncio import Redis

from services.identity.domain.provider_states import LIFE, PendingSignIn, ProviderStates
from shared.redis import faults_told


class ProviderStateRepository:
    """Pending sign-ins under a keyed hash of their state, each of which works once."""

    def __init__(self, redis: Redis, prefix: str, states: ProviderStates) -> None:
        self._redis = redis
        self._prefix = prefix
        self._states = states

    async def create(self, state: str, pending: PendingSignIn) -> None:
        """Keep a sign-in until it expires. Raises `unavailable`."""
        async with faults_told():
            await self._redis.set(self._key(state), pending.model_dump_json(), px=LIFE)

    async def take(self, state: str, now: datetime) -> PendingSignIn | None:
        """The sign-in of that state, which is gone then; of several who take it at once one gets it.

        None for a state that was never there, or was taken, or has expired. Raises `unavailable`.
        """
        async with faults_told():
            found = await self._redis.getdel(self._key(state))
        pending = None if found is None else PendingSignIn.model_validate_json(found)
        return pending if pending is not None and now < pending.expires_at else None

    def _key(self, state: str) -> str:
        return f"{self._prefix}identity:provider_state:{self._states.name(state)}"
