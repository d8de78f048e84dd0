"""What OAuth clients get for themselves, refreshing in every dialect, and the keys by which all of it is verified."""

import unicodedata
from dataclasses import dataclass
from datetime import timedelta

from services.token.client_authentication import ClientAuthentication
from services.token.domain import clients
from services.token.domain.dialects import DialectPolicy, Policies
from services.token.domain.refresh_tokens import RefreshTokens
from services.token.domain.sessions import Refresh, Session
from services.token.key_ring import KeyRing
from services.token.repository.sessions import SessionRepository
from services.token.token_issuer import TokenIssuer
from shared.bus.bus import Bus
from shared.clock import Clock
from shared.contracts import token as contract
from shared.contracts.identity import GetUser, User
from shared.contracts.token import KeySet, TokenSet
from shared.errors import Error, ErrorCode


@dataclass(frozen=True)
class GrantService:
    """Turns what a client holds into tokens."""

    policies: Policies
    grace: timedelta
    sessions: SessionRepository
    keys: KeyRing
    authentication: ClientAuthentication
    refresh_tokens: RefreshTokens
    issuer: TokenIssuer
    bus: Bus
    clock: Clock

    async def grant_client_credentials(self, call: contract.GrantClientCredentials) -> TokenSet:
        """A token for the client itself."""
        client = await self.authentication.authenticate(call, "client_credentials")
        return await self.issuer.for_client(client, clients.narrow_scope(call.scope, client.scopes))

    async def grant_refresh_token(self, call: contract.GrantRefreshToken) -> TokenSet:
        """New tokens for a session, and the successor of the refresh token where the dialect has one."""
        policy = self.policies[call.dialect]
        client_id = policy.client_id
        audiences: tuple[str, ...] = ()
        if client_id is None:
            client = await self.authentication.authenticate(call, "refresh_token")
            client_id, audiences = client.client_id, client.audiences
        refresh = self._presented(call, policy, client_id)
        if policy.refresh_limit is not None:
            return await self._use(refresh, policy.refresh_limit, call.username)
        session = await self.sessions.refresh(refresh)
        # Asking for less narrows the access token alone; the session keeps what it was granted (RFC 6749 §6).
        scope = clients.narrow_scope(call.scope, session.scopes) or session.scope
        return await self.issuer.for_session(session, scope, audiences=audiences)

    def _presented(self, call: contract.GrantRefreshToken, policy: DialectPolicy, client_id: str) -> Refresh:
        presented = call.refresh_token.get_secret_value() if call.refresh_token else ""
        if not presented:
            raise Error(ErrorCode.INVALID_REQUEST, "refresh_token is required", detail={"grant": "refresh_token"})
        token = self.refresh_tokens.decode(presented)
        if token is None:
            raise Error(ErrorCode.SESSION_UNKNOWN, "not a refresh token of ours")
        return Refresh(
            token=token,
            client_id=client_id,
            dialect=call.dialect,
            scope=call.scope,
            now=self.clock.now(),
            life=policy.refresh_life,
            grace=self.grace,
        )

    async def _use(self, refresh: Refresh, limit: int, username: str | None) -> TokenSet:
        """An access token for a refresh token that stays as it is; only what is granted counts against its limit."""
        if not username:
            raise Error(ErrorCode.INVALID_REQUEST, "username is required", detail={"grant": "refresh_token"})
        user = await self._user(await self.sessions.find(refresh), username)
        session = await self.sessions.use(refresh, limit)
        return await self.issuer.for_session(session, session.scope, user=user, refresh_token=False)

    async def _user(self, session: Session, name: str) -> User:
        """The session's user, when that is who `name` names and they may sign in."""
        try:
            user = await self.bus.call(GetUser(user_id=session.user_id, name=name))
        except Error as error:
            if error.code != ErrorCode.NOT_FOUND:
                raise
            raise Error(ErrorCode.SESSION_UNKNOWN, "the session's user is no more") from None
        # The event that ends the sessions of such a user may still be on its way.
        if user.state != "active":
            raise Error(ErrorCode.SESSION_UNKNOWN, f"the session's user is {user.state}")
        # An identity of an earlier version does not say whose a name is: then it has to look like one of theirs.
        own_names = (user.username, user.email, user.phone, str(user.id))
        if not user.named and _folded(name) not in {_folded(own) for own in own_names if own}:
            raise Error(ErrorCode.SESSION_UNKNOWN, "the session is another user's")
        return user

    async def get_keys(self, _call: contract.GetKeys) -> KeySet:
        """The public keys."""
        return KeySet(keys=await self.keys.public())


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name.strip()).casefold()
