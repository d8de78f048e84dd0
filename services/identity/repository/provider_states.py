"""Sign-ins that a provider was asked for, in Redis. Times come from the caller, never from the server."""

from datetime import datetime
from uuid import UUID

from redis.asyncio import Redis

from services.identity.domain.provider_states import LIFE, PendingSignIn, ProviderStates
from shared.redis import faults_told
from shared.redis_scripts import RedisScripts

# What was taken is kept for a moment for whoever took it: the answer may be lost, and the client then asks once more.
_TAKE = """
local found = redis.call('GETDEL', KEYS[1])
if found then
    redis.call('SET', KEYS[2], ARGV[1] .. found, 'PX', 5000)
    return found
end
local taken = redis.call('GET', KEYS[2])
return taken and taken:sub(1, #ARGV[1]) == ARGV[1] and taken:sub(#ARGV[1] + 1)
"""


class ProviderStateRepository:
    """Pending sign-ins under a keyed hash of their state, each of which works once."""

    def __init__(self, redis: Redis, scripts: RedisScripts, prefix: str, states: ProviderStates) -> None:
        self._redis = redis
        self._take = scripts.register(_TAKE)
        self._prefix = prefix
        self._states = states

    async def create(self, state: str, pending: PendingSignIn) -> None:
        """Keep a sign-in until it expires. Raises `unavailable`."""
        async with faults_told():
            await self._redis.set(self._key(state), pending.model_dump_json(), px=LIFE)

    async def take(self, state: str, now: datetime, by: UUID) -> PendingSignIn | None:
        """The sign-in of that state, which is gone then; of several who take it, each with an id, one gets it.

        None for a state that was never there, or was taken, or has expired. Raises `unavailable`.
        """
        key = self._key(state)
        found = await self._take(keys=[key, f"{key}:taken"], args=[str(by)])
        pending = None if found is None else PendingSignIn.model_validate_json(found)
        return pending if pending is not None and now < pending.expires_at else None

    def _key(self, state: str) -> str:
        return f"{self._prefix}identity:provider_state:{self._states.name(state)}"
