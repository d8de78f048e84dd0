"""The end of tokens: revocation, introspection, and the events that end sessions."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from services.token.client_authentication import ClientAuthentication
from services.token.domain import access_tokens
from services.token.domain.refresh_tokens import RefreshTokens
from services.token.key_ring import KeyRing
from services.token.repository.revocations import RevocationRepository
from services.token.repository.sessions import SessionRepository
from shared.bus.dispatch import Delivery
from shared.bus.messages import Done
from shared.clock import Clock
from shared.contracts import identity, password
from shared.contracts import token as contract
from shared.contracts.token import Introspection, Revocation, RevocationList, Revoked, SessionEnded
from shared.errors import Error, ErrorCode


@dataclass(frozen=True)
class RevocationService:
    """Ends tokens, and says whether one is still good."""

    issuer: str
    sessions: SessionRepository
    revocations: RevocationRepository
    keys: KeyRing
    authentication: ClientAuthentication
    refresh_tokens: RefreshTokens
    clock: Clock

    async def revoke_token(self, call: contract.RevokeToken) -> Revoked:
        """End the session of a refresh token, with every access token that it ever gave; or one access token alone.

        Whatever is not a live token of this client is left alone without a word (RFC 7009 §2.2).
        """
        client = await self.authentication.identify(call)
        text = _presented(call.token)
        now = self.clock.now()
        refresh = self.refresh_tokens.decode(text)
        if refresh is not None:
            ended = await self.sessions.end(refresh.session_id, now, "revoked", client_id=client.client_id)
            return Revoked(revocations=[self._of_session(refresh.session_id, now)] if ended else [])
        claims, kid = await self._verified(text)
        own = claims is not None and claims["client_id"] == client.client_id
        if claims is None or not own or await self.revocations.is_revoked(claims, kid):
            return Revoked()
        await self.sessions.revoke("token", claims["jti"], now, "revoked")
        named = Revocation(kind="token", value=claims["jti"], expires_at=self.revocations.until(now))
        return Revoked(revocations=[named])

    async def end_session(self, call: contract.EndSession) -> SessionEnded:
        """Sign out: end a session of the dialect, and with it every access token that it ever gave.

        Whoever holds a refresh token of the session, an old one too, was once given it: the signature proves that.
        """
        refresh = self.refresh_tokens.decode(call.refresh_token.get_secret_value()) if call.refresh_token else None
        if (call.session_id is None) == (call.refresh_token is None):
            raise Error(ErrorCode.INVALID_REQUEST, "either session_id or refresh_token is required")
        session_id = refresh.session_id if refresh is not None else call.session_id
        if session_id is None:
            return SessionEnded(ended=False)
        now = self.clock.now()
        ended = await self.sessions.end(session_id, now, "signed_out", dialect=call.dialect)
        return SessionEnded(ended=ended, revocations=[self._of_session(session_id, now)] if ended else [])

    async def introspect_token(self, call: contract.IntrospectToken) -> Introspection:
        """What a token says, when it is good at this moment; a refresh token only to the client that holds it."""
        client = await self.authentication.identify(call)
        text = _presented(call.token)
        refresh = self.refresh_tokens.decode(text)
        if refresh is not None:
            session = await self.sessions.find_live(refresh, client.client_id, self.clock.now())
            if session is None:
                return Introspection(active=False)
            claims: dict[str, Any] = {
                "iss": self.issuer,
                "sub": str(session.user_id),
                "client_id": session.client_id,
                "sid": str(session.id),
                "exp": int(session.expires_at.timestamp()),
                "iat": int(session.rotated_at.timestamp()),
            }
            if session.scope is not None:
                claims["scope"] = session.scope
            return Introspection(active=True, claims=claims)
        verified, kid = await self._verified(text)
        if verified is None or await self.revocations.is_revoked(verified, kid):
            return Introspection(active=False)
        return Introspection(active=True, claims=verified | {"token_type": "bearer"})

    async def get_revocations(self, _call: contract.GetRevocations) -> RevocationList:
        """Everything that is revoked and could still be alive."""
        return RevocationList(revocations=await self.revocations.live(self.clock.now()))

    async def revoke(self, call: contract.Revoke) -> Done:
        """Refuse what an operator names. Raises `invalid_request` for a session or user that is no UUID."""
        now = self.clock.now()
        if call.kind in ("session", "user"):
            try:
                named = UUID(call.value)
            except ValueError:
                raise Error(
                    ErrorCode.INVALID_REQUEST, f"the {call.kind} is not an id", detail={"field": "value"}
                ) from None
            if call.kind == "user":
                await self.sessions.end_all_of_user(None, named, now, now, "operator", whatever_there_is=True)
            else:
                await self.sessions.end(named, now, "operator")
        else:
            await self.sessions.revoke(call.kind, call.value, now, "operator")
        return Done()

    async def on_user_suspended(self, event: identity.UserSuspended, delivery: Delivery) -> None:
        """End all sessions of a suspended user."""
        now = self.clock.now()
        # Up to this moment, since by our clock a session may be younger than by the clock of identity.
        before = max(event.suspended_at, now)
        await self.sessions.end_all_of_user(
            delivery.id, event.user_id, before, now, "user_suspended", whatever_there_is=True
        )

    async def on_user_deleted(self, event: identity.UserDeleted, delivery: Delivery) -> None:
        """End all sessions of a user who is no more."""
        now = self.clock.now()
        before = max(event.deleted_at, now)
        await self.sessions.end_all_of_user(
            delivery.id, event.user_id, before, now, "user_deleted", whatever_there_is=True
        )

    async def on_password_changed(
        self, event: identity.PasswordChanged | password.PasswordChanged, delivery: Delivery
    ) -> None:
        """End the sessions that the old password began, in every dialect (user-pains row 34)."""
        now = self.clock.now()
        await self.sessions.end_all_of_user(delivery.id, event.user_id, event.changed_at, now, "password_changed")

    def _of_session(self, session_id: UUID, now: datetime) -> Revocation:
        return Revocation(kind="session", value=str(session_id), expires_at=self.revocations.until(now))

    async def _verified(self, text: str) -> tuple[dict[str, Any] | None, str]:
        now = self.clock.now()
        return access_tokens.read_access_token(text, await self.keys.public(), issuer=self.issuer, now=now)


def _presented(token: SecretStr | None) -> str:
    if token is None or not token.get_secret_value():
        raise Error(ErrorCode.INVALID_REQUEST, "token is required", detail={"grant": "token"})
    return token.get_secret_value()
