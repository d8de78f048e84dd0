"""The three grants, and the keys by which what they yield is verified."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import SecretStr

from services.token.client_authentication import ClientAuthentication
from services.token.domain import access_tokens, clients
from services.token.domain.clients import OAuthClient
from services.token.domain.refresh_tokens import RefreshToken, RefreshTokens
from services.token.key_ring import KeyRing
from services.token.repository.sessions import Refresh, Session, SessionRepository
from services.token.settings import TokenSettings
from shared.bus.bus import Bus
from shared.clock import Clock
from shared.contracts import token as contract
from shared.contracts.identity import Authenticate
from shared.contracts.token import KeySet, TokenSet
from shared.entropy import Entropy
from shared.errors import Error, ErrorCode


@dataclass(frozen=True)
class GrantService:
    """Turns proof into tokens."""

    settings: TokenSettings
    sessions: SessionRepository
    keys: KeyRing
    authentication: ClientAuthentication
    refresh_tokens: RefreshTokens
    bus: Bus
    clock: Clock
    entropy: Entropy

    async def grant_client_credentials(self, call: contract.GrantClientCredentials) -> TokenSet:
        """A token for the client itself."""
        client = await self.authentication.authenticate(call, "client_credentials")
        scope = clients.narrow_scope(call.scope, client.scopes)
        return await self._issue(client, client.client_id, scope, self.clock.now())

    async def grant_password(self, call: contract.GrantPassword) -> TokenSet:
        """A session for a user whom `identity` recognises."""
        asked_at = self.clock.now()
        client = await self.authentication.authenticate(call, "password")
        if not call.username or call.password is None or not call.password.get_secret_value():
            raise Error(ErrorCode.INVALID_REQUEST, "username and password are required", detail={"grant": "password"})
        recognised = await self.bus.call(Authenticate(identifier=call.username, secret=call.password))
        if recognised.challenge is not None:
            raise Error(ErrorCode.PASSWORD_CHANGE_REQUIRED, "the password must be changed first")
        session = Session(
            id=self.entropy.uuid(),
            user_id=recognised.user.id,
            client_id=client.client_id,
            dialect=call.dialect,
            scope=clients.narrow_scope(call.scope, client.scopes),
            methods=tuple(recognised.methods),
            counter=0,
            created_at=asked_at,
            rotated_at=asked_at,
            expires_at=asked_at + timedelta(seconds=self.settings.refresh_seconds),
        )
        await self.sessions.insert(session)
        return await self._issue_for(client, session, session.scope)

    async def grant_refresh_token(self, call: contract.GrantRefreshToken) -> TokenSet:
        """New tokens for a session, and the successor of the refresh token."""
        client = await self.authentication.authenticate(call, "refresh_token")
        presented = call.refresh_token.get_secret_value() if call.refresh_token else ""
        if not presented:
            raise Error(ErrorCode.INVALID_REQUEST, "refresh_token is required", detail={"grant": "refresh_token"})
        token = self.refresh_tokens.decode(presented)
        if token is None:
            raise Error(ErrorCode.SESSION_UNKNOWN, "not a refresh token of ours")
        session = await self.sessions.refresh(
            Refresh(
                token=token,
                client_id=client.client_id,
                dialect=call.dialect,
                scope=call.scope,
                now=self.clock.now(),
                life=timedelta(seconds=self.settings.refresh_seconds),
                grace=timedelta(seconds=self.settings.refresh_grace_seconds),
            )
        )
        # Asking for less narrows the access token alone; the session keeps what it was granted (RFC 6749 §6).
        scope = clients.narrow_scope(call.scope, session.scopes) or session.scope
        return await self._issue_for(client, session, scope)

    async def _issue_for(self, client: OAuthClient, session: Session, scope: str | None) -> TokenSet:
        issued = await self._issue(
            client,
            str(session.user_id),
            scope,
            self.clock.now(),
            {
                "sid": str(session.id),
                "auth_time": int(session.created_at.timestamp()),
                "amr": list(session.methods),
            },
        )
        return issued.model_copy(
            update={
                "refresh_token": SecretStr(self.refresh_tokens.encode(RefreshToken(session.id, session.counter))),
                "refresh_expires_in": int((session.expires_at - issued.issued_at).total_seconds()),
                "session_id": session.id,
            }
        )

    async def _issue(
        self,
        client: OAuthClient,
        subject: str,
        scope: str | None,
        now: datetime,
        session: dict[str, Any] | None = None,
    ) -> TokenSet:
        access_token = access_tokens.sign_access_token(
            await self.keys.active(),
            issuer=self.settings.issuer,
            subject=subject,
            audiences=client.audiences or (self.settings.audience or self.settings.issuer,),
            client_id=client.client_id,
            scope=scope,
            token_id=self.entropy.uuid(),
            issued_at=now,
            seconds=self.settings.access_seconds,
            session=session,
        )
        return TokenSet(access_token=access_token, expires_in=self.settings.access_seconds, issued_at=now, scope=scope)

    async def get_keys(self, _call: contract.GetKeys) -> KeySet:
        """The public keys."""
        return KeySet(keys=await self.keys.public())
