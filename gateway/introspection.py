"""What a token says (RFC 7662), answered from memory where that is certain, and by `token` otherwise.

`token` reads PostgreSQL twice for each answer. The gateway knows as much by itself, once a client has proved itself to
`token`: it verifies access tokens by the published keys, and hears what was revoked. From memory comes only what
`token` would have answered too; whatever is in doubt, as any refresh token is, goes to `token`.

While Redis is away, or where there is none, every introspection goes to `token`: what was revoked cannot be known here.
While `token` is away, clients that have just proved themselves go on being told about access tokens, until their proof
is too old; everybody else, and all of them then, get `unavailable`.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dragoman_verifier import Claims, TokenExpired, TokenRevoked, Verifier, VerifierError
from pydantic import SecretStr

from gateway.revocations import RevocationFeed
from shared.bus.bus import Bus
from shared.clock import Clock
from shared.contracts.token import Introspection, IntrospectToken
from shared.entropy import Entropy
from shared.errors import Error, ErrorCode
from shared.telemetry import Telemetry

_PROVED_FOR = timedelta(seconds=30)
"""How long a client need not prove itself to `token` again.

Withdrawn secrets are heard of at once. This is for what the feed does not tell: a secret that ended with its overlap,
or that was replaced with its client, opens introspection, and nothing else, for so long. A client that asks all the
time costs two calls a minute.
"""
_MOST_PROOFS = 10_000


@dataclass(frozen=True, slots=True)
class _Proof:
    """When a client was asked to prove itself, and the news of it until then."""

    at: datetime
    news: int


class Introspector:
    """Answers introspections. Remembers of a client's secret only a keyed hash under a key of this process's own."""

    def __init__(
        self,
        bus: Bus,
        feed: RevocationFeed,
        verifier: Verifier,
        clock: Clock,
        entropy: Entropy,
        telemetry: Telemetry,
    ) -> None:
        """`verifier` asks for no audience: whoever introspects a token need not be whom it is meant for."""
        self._bus = bus
        self._feed = feed
        self._verifier = verifier
        self._clock = clock
        self._key = entropy.token_bytes(32)
        self._answered = telemetry.introspections
        self._proofs: dict[bytes, _Proof] = {}

    async def introspect(self, call: IntrospectToken) -> Introspection:
        """The answer of `token`, from memory or by itself. Raises what `token` raises."""
        if not call.client_id or call.client_secret is None or call.token is None:
            return await self._bus.call(call)  # nothing to remember it by: `token` says what is missing
        fingerprint = self._fingerprint(call.client_id, call.client_secret)
        found, source = await self._from_memory(fingerprint, call.client_id, call.token), "memory"
        if found is None:
            found, source = await self._from_token(fingerprint, call.client_id, call), "token"
        self._answered.labels(source).inc()
        return found

    async def _from_memory(self, fingerprint: bytes, client_id: str, token: SecretStr) -> Introspection | None:
        if not self._is_proved(fingerprint, client_id):
            return None
        try:
            found = self._told(await self._verifier.verify(token.get_secret_value()))
        except (TokenExpired, TokenRevoked):
            found = Introspection(active=False)
        except VerifierError:
            return None
        # Once more, since keys may have been fetched meanwhile.
        return found if self._is_proved(fingerprint, client_id) else None

    def _is_proved(self, fingerprint: bytes, client_id: str) -> bool:
        """Whether the client has proved itself, not long ago, and would be known by now if that no longer held."""
        proof = self._proofs.get(fingerprint)
        if proof is None or not self._feed.prompt or proof.news != self._feed.news_of_client(client_id):
            return False
        # Not negative either: a clock that was put back must not make a proof last.
        return timedelta(0) <= self._clock.now() - proof.at < _PROVED_FOR

    def _told(self, claims: Claims) -> Introspection:
        # The verifier gives clocks a leeway, `token` ends a token exactly when it says.
        if claims.raw["exp"] <= self._clock.now().timestamp():
            return Introspection(active=False)
        return Introspection(active=True, claims={**_thawed(claims.raw), "token_type": "bearer"})

    async def _from_token(self, fingerprint: bytes, client_id: str, call: IntrospectToken) -> Introspection:
        # Both from before the call: what happens to the secret while it is under way counts against it.
        proof = _Proof(self._clock.now(), self._feed.news_of_client(client_id))
        try:
            found = await self._bus.call(call)
        except Error as error:
            if error.code == ErrorCode.INVALID_CLIENT:
                self._proofs.pop(fingerprint, None)
            raise
        self._proofs.pop(fingerprint, None)  # and put it at the end: the oldest ones go first
        self._proofs[fingerprint] = proof
        if len(self._proofs) > _MOST_PROOFS:
            del self._proofs[next(iter(self._proofs))]
        return found

    def _fingerprint(self, client_id: str, secret: SecretStr) -> bytes:
        # As JSON, so that no other split of the same characters is the same message.
        message = json.dumps([client_id, secret.get_secret_value()]).encode()
        return hmac.digest(self._key, message, hashlib.sha256)


def _thawed(value: Any) -> Any:
    """What the verifier has frozen, as it was read."""
    if isinstance(value, str | int):  # almost all there is, and told sooner than that it is no mapping
        return value
    if isinstance(value, Mapping):
        return {name: _thawed(inner) for name, inner in value.items()}
    if isinstance(value, tuple):
        return [_thawed(inner) for inner in value]
    return value
