"""How the session of a user begins, in every dialect: a proof, perhaps a challenge, a session, tokens."""

from dataclasses import dataclass
from datetime import datetime
from typing import get_args

from services.token.client_authentication import ClientAuthentication
from services.token.domain import clients
from services.token.domain.dialects import DialectPolicy, Policies
from services.token.domain.sessions import Session
from services.token.repository.sessions import SessionRepository
from services.token.token_issuer import TokenIssuer
from shared.bus.bus import Bus
from shared.clock import Clock
from shared.contracts import token as contract
from shared.contracts.identity import AnswerChallenge, Authenticate, Authentication, SecondFactor
from shared.contracts.providers import AuthenticateByProvider
from shared.contracts.token import Dialect, SignedIn, SignInChallenge, TokenSet
from shared.entropy import Entropy
from shared.errors import Error, ErrorCode

_Proof = Authenticate | AuthenticateByProvider | AnswerChallenge


@dataclass(frozen=True)
class SignInService:
    """Turns a user's proof into a session, once `identity` recognises them."""

    policies: Policies
    sessions: SessionRepository
    authentication: ClientAuthentication
    issuer: TokenIssuer
    bus: Bus
    clock: Clock
    entropy: Entropy

    async def grant_password(self, call: contract.GrantPassword) -> TokenSet:
        """A session of an OAuth client, which has no way to meet a challenge: for whoever needs one it is an error."""
        asked_at = self.clock.now()
        client = await self.authentication.authenticate(call, "password")
        if not call.username or call.password is None or not call.password.get_secret_value():
            raise Error(ErrorCode.INVALID_REQUEST, "username and password are required", detail={"grant": "password"})
        policy = self.policies["oauth2"]
        proof = Authenticate(identifier=call.username, secret=call.password, source=call.source)
        recognised = await self.bus.call(_proof(policy, proof))
        _challenge(policy, recognised)  # raises, since there is none that this dialect can meet
        scope = clients.narrow_scope(call.scope, client.scopes)
        session = await self._begin(policy, client.client_id, recognised, asked_at, scope)
        return await self.issuer.for_session(session, scope, audiences=client.audiences, user=recognised.user)

    async def sign_in(self, call: contract.SignIn) -> SignedIn:
        """A session of a built-in client, or what comes first."""
        asked_at = self.clock.now()
        policy = self._policy(call.dialect)
        code = call.code if policy.second_factor == "inline" else None
        proof = Authenticate(identifier=call.identifier, secret=call.password, code=code, source=call.source)
        return await self._signed_in(policy, _proof(policy, proof), asked_at)

    async def sign_in_with_provider(self, call: contract.SignInWithProvider) -> SignedIn:
        """A session for whom an external provider has sent back, or the second factor that comes first."""
        asked_at = self.clock.now()
        policy = self._policy(call.dialect)
        if not policy.providers:
            raise Error(ErrorCode.INVALID_REQUEST, f"{call.dialect} has no external providers")
        proof = AuthenticateByProvider(
            provider=call.provider,
            dialect=call.dialect,
            state=call.state,
            browser=call.browser,
            code=call.code,
            issuer=call.issuer,
            source=call.source,
        )
        return await self._signed_in(policy, proof, asked_at)

    async def continue_sign_in(self, call: contract.ContinueSignIn) -> SignedIn:
        """The session that a challenge stood before, or another challenge."""
        asked_at = self.clock.now()
        policy = self._policy(call.dialect)
        if not policy.may_challenge(call.kind):
            raise Error(ErrorCode.CHALLENGE_UNKNOWN, f"{call.dialect} has no such challenge")
        proof = AnswerChallenge(
            kind=call.kind,
            token=call.token,
            dialect=call.dialect,
            code=call.code,
            new_password=call.new_password,
            identifier=call.identifier,
            source=call.source,
        )
        return await self._signed_in(policy, proof, asked_at)

    def _policy(self, dialect: Dialect) -> DialectPolicy:
        policy = self.policies[dialect]
        if policy.client_id is None:
            raise Error(ErrorCode.INVALID_REQUEST, f"{dialect} has clients of its own: use the password grant")
        return policy

    async def _signed_in(self, policy: DialectPolicy, proof: _Proof, asked_at: datetime) -> SignedIn:
        try:
            recognised = await self.bus.call(proof)
            challenge = _challenge(policy, recognised)
        except Error as error:
            if error.code != ErrorCode.SECOND_FACTOR_REQUIRED or not policy.names_second_factor:
                raise
            challenge = SignInChallenge(kind="second_factor", factor=_factor(error))
        if challenge is not None:
            return SignedIn(challenge=challenge)
        assert policy.client_id is not None
        began_at = _began_at(proof, recognised, asked_at)
        lost = ErrorCode.CHALLENGE_UNKNOWN if isinstance(proof, AnswerChallenge) else ErrorCode.WRONG_PASSWORD
        session = await self._begin(policy, policy.client_id, recognised, began_at, scope=None, lost=lost)
        return SignedIn(tokens=await self.issuer.for_session(session, user=recognised.user))

    async def _begin(
        self,
        policy: DialectPolicy,
        client_id: str,
        recognised: Authentication,
        began_at: datetime,
        scope: str | None,
        lost: ErrorCode = ErrorCode.WRONG_PASSWORD,
    ) -> Session:
        """Raises `lost` when the user's sessions were ended while the proof was under way: it no longer holds."""
        session = Session(
            id=self.entropy.uuid(),
            user_id=recognised.user.id,
            client_id=client_id,
            dialect=policy.dialect,
            scope=scope,
            methods=tuple(recognised.methods),
            counter=0,
            created_at=began_at,
            rotated_at=began_at,
            expires_at=began_at + policy.refresh_life,
        )
        try:
            await self.sessions.insert(session)
        except Error as error:
            if error.code != ErrorCode.SESSION_REVOKED:
                raise
            raise Error(lost, error.message) from None
        return session


def _proof(policy: DialectPolicy, call: Authenticate) -> Authenticate:
    """The same proof, with what the dialect can do about challenges."""
    return call.model_copy(
        update={
            "dialect": policy.dialect,
            "accept_code": policy.accept_code,
            "second_factor": policy.second_factor,
            "new_password": policy.new_password,
        }
    )


def _challenge(policy: DialectPolicy, recognised: Authentication) -> SignInChallenge | None:
    """What the dialect's client has to meet first. Raises what it has to be told when it can't.

    identity asks for nothing that a dialect can't do; this is the second lock, which holds whatever version it has.
    """
    challenge = recognised.challenge
    if challenge is None:
        return None
    if challenge.token is not None and policy.may_challenge(challenge.kind):
        return SignInChallenge(
            kind=challenge.kind, token=challenge.token, factor=challenge.factor, expires_at=challenge.expires_at
        )
    if challenge.kind == "new_password":
        raise Error(ErrorCode.PASSWORD_CHANGE_REQUIRED, "the password must be changed first")
    detail = {"factor": challenge.factor}
    raise Error(ErrorCode.SECOND_FACTOR_REQUIRED, "a second factor must be proved first", detail=detail)


def _factor(error: Error) -> SecondFactor | None:
    return next((factor for factor in get_args(SecondFactor) if factor == error.detail.get("factor")), None)


def _began_at(proof: _Proof, recognised: Authentication, asked_at: datetime) -> datetime:
    """From when on the session counts: whatever ends the user's sessions up to a later moment ends this one too.

    That is the moment before the proof was asked for. A password that is replaced, or a user who is suspended, while
    the proof is under way ends the session, even if the news comes before the session does.

    A sign-in that has itself replaced the password is the exception: its proof is the new one, and from the moment
    before, the session would end by its own change. identity says when it held, which is after the change.

    A second factor completes a first one that was right some time ago. When identity says since when, that counts: the
    password may have been replaced between the two.
    """
    if not isinstance(proof, AnswerChallenge) or recognised.proved_at is None:
        return asked_at
    return recognised.proved_at if proof.kind == "new_password" else min(asked_at, recognised.proved_at)
