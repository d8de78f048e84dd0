"""Signed tokens, for a client itself or for a session."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import SecretStr

from services.token.domain import access_tokens, dialects
from services.token.domain.clients import OAuthClient
from services.token.domain.dialects import Policies
from services.token.domain.id_tokens import sign_id_token
from services.token.domain.refresh_tokens import RefreshToken, RefreshTokens
from services.token.domain.sessions import Session
from services.token.key_ring import KeyRing
from shared.clock import Clock
from shared.contracts.identity import User
from shared.contracts.token import TokenSet
from shared.entropy import Entropy

_LONGEST_LEAD = timedelta(seconds=30)
"""How far `iat` may be ahead of our clock: half of what verifiers bear."""


@dataclass(frozen=True)
class TokenIssuer:
    """Makes what a grant or a sign-in yields; `audience` is whom tokens are for when the client names nobody."""

    issuer: str
    audience: str
    policies: Policies
    keys: KeyRing
    refresh_tokens: RefreshTokens
    clock: Clock
    entropy: Entropy

    async def for_client(self, client: OAuthClient, scope: str | None) -> TokenSet:
        """An access token for the client itself."""
        return await self._issue(
            client.client_id,
            client.client_id,
            client.audiences,
            scope,
            self.clock.now(),
            self.policies["oauth2"].lives.access,
        )

    async def for_session(
        self,
        session: Session,
        scope: str | None = None,
        *,
        audiences: tuple[str, ...] = (),
        user: User | None = None,
        refresh_token: bool = True,
    ) -> TokenSet:
        """An access token of the session, with its current refresh token unless that is not wanted.

        `user` is needed where the dialect's tokens say more of the user than the id.
        """
        policy = self.policies[session.dialect]
        issued_at = issue_moment(self.clock.now(), session.created_at)
        claims = {
            "sid": str(session.id),
            "auth_time": int(session.created_at.timestamp()),
            "amr": list(session.methods),
        } | dialects.access_claims(session.dialect, session.id, session.user_id, user)
        issued = await self._issue(
            str(session.user_id), session.client_id, audiences, scope, issued_at, policy.lives.access, claims
        )
        added: dict[str, Any] = {"session_id": session.id}
        if policy.id_token:
            assert user is not None
            added["id_token"] = SecretStr(await self._id_token(session, user, issued_at, policy.lives.access))
        if refresh_token:
            text = self.refresh_tokens.encode(RefreshToken(session.id, session.counter))
            left = session.expires_at - issued_at
            added |= {"refresh_token": SecretStr(text), "refresh_expires_in": round(left.total_seconds())}
        return issued.model_copy(update=added)

    async def _id_token(self, session: Session, user: User, issued_at: datetime, seconds: int) -> str:
        return sign_id_token(
            await self.keys.active(),
            issuer=self.issuer,
            client_id=session.client_id,
            user=user,
            session_id=session.id,
            signed_in_at=session.created_at,
            token_id=self.entropy.uuid(),
            issued_at=issued_at,
            seconds=seconds,
        )

    async def _issue(
        self,
        subject: str,
        client_id: str,
        audiences: tuple[str, ...],
        scope: str | None,
        issued_at: datetime,
        seconds: int,
        claims: dict[str, Any] | None = None,
    ) -> TokenSet:
        access_token = access_tokens.sign_access_token(
            await self.keys.active(),
            issuer=self.issuer,
            subject=subject,
            audiences=audiences or (self.audience or self.issuer,),
            client_id=client_id,
            scope=scope,
            token_id=self.entropy.uuid(),
            issued_at=issued_at,
            seconds=seconds,
            session=claims,
        )
        return TokenSet(access_token=access_token, expires_in=seconds, issued_at=issued_at, scope=scope)


def issue_moment(now: datetime, began_at: datetime) -> datetime:
    """When a token of a session counts as issued: now, but not before the session began.

    A session may have begun in our future, by a clock that is ahead of ours. A token dated by our clock could then lie
    before the password change that the session came out of, and die with those that the old password got. A clock that
    is too far ahead is not followed, since no verifier would accept the token.
    """
    return max(now, min(began_at, now + _LONGEST_LEAD))
