"""ID tokens as clients read them, and as nobody else may."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
import pytest
from dragoman_verifier import TokenInvalid, Verifier

from services.token.domain import access_tokens, id_tokens, signing_keys
from services.token.token_issuer import issue_moment
from shared.contracts.identity import User

KEY = signing_keys.generate()
ISSUER = "https://id.example.com"
ISSUED = datetime(2026, 1, 1, 12, 0, 0, 900_000, tzinfo=UTC)
USER = User(id=UUID(int=2), email="someone@example.com", username="someone", created_at=ISSUED)


def sign(user: User = USER) -> str:
    """An ID token of a user who signed in a minute ago."""
    return id_tokens.sign_id_token(
        KEY,
        issuer=ISSUER,
        client_id="enterprise",
        user=user,
        session_id=UUID(int=3),
        signed_in_at=ISSUED - timedelta(minutes=1),
        token_id=UUID(int=4),
        issued_at=ISSUED,
        seconds=86_400,
    )


def claims(token: str) -> dict[str, Any]:
    """What the client reads, for which the token is meant; time is checked by the test."""
    read: dict[str, Any] = jwt.decode(
        token,
        jwt.PyJWK(KEY.public_jwk),
        algorithms=["ES256"],
        audience="enterprise",
        issuer=ISSUER,
        options={"verify_exp": False, "verify_iat": False},
    )
    return read


def test_claims() -> None:
    """An ID token has what OpenID Connect requires and what clients of Cognito read."""
    token = sign()
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "typ": "JWT", "kid": KEY.kid}
    issued = int(ISSUED.timestamp())
    assert claims(token) == {
        "iss": ISSUER,
        "sub": str(UUID(int=2)),
        "aud": "enterprise",
        "iat": issued,
        "exp": issued + 86_400,
        "auth_time": issued - 60,
        "token_use": "id",
        "cognito:username": "someone",
        "cognito:groups": [],
        "jti": str(UUID(int=4)),
        "origin_jti": str(UUID(int=3)),
        "sid": str(UUID(int=3)),
        "email": "someone@example.com",
        "email_verified": False,
    }


def test_a_user_without_an_address() -> None:
    """Nothing is said about an address that does not exist."""
    read = claims(sign(USER.model_copy(update={"email": None})))
    assert not {"email", "email_verified"} & set(read)


async def test_it_is_no_access_token() -> None:
    """Neither those who verify offline nor introspection take it for access, even where issuer and audience fit."""

    async def published() -> tuple[dict[str, Any], Mapping[str, str]]:
        return {"keys": [KEY.public_jwk]}, {}

    def sign_access(token_type: str) -> str:
        """The same claims in an access token, so that only the type is left to tell them apart."""
        payload = claims(sign()) | {"client_id": "enterprise"}
        return jwt.encode(payload, KEY.private_key, algorithm="ES256", headers={"typ": token_type, "kid": KEY.kid})

    async with Verifier(ISSUER, "enterprise", keys=published, clock=ISSUED.timestamp) as verifier:
        assert (await verifier.verify(sign_access("at+jwt"))).client_id == "enterprise"
        for token in (sign(), sign_access("JWT")):
            with pytest.raises(TokenInvalid, match="typ"):
                await verifier.verify(token)
    for token in (sign(), sign_access("JWT")):
        assert access_tokens.read_access_token(token, [KEY.public_jwk], issuer=ISSUER, now=ISSUED)[0] is None


@pytest.mark.parametrize(
    ("ahead", "lead"),
    [(-60.0, 0.0), (0.0, 0.0), (5.5, 5.5), (30.0, 30.0), (31.0, 30.0), (86_400.0, 30.0)],
)
def test_when_a_token_counts_as_issued(ahead: float, lead: float) -> None:
    """A token is never dated before its session, nor further into the future than verifiers bear."""
    assert issue_moment(ISSUED, ISSUED + timedelta(seconds=ahead)) == ISSUED + timedelta(seconds=lead)
