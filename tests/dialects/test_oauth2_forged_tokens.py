"""Tokens that are not exactly what the platform signed for itself, at POST /otp/send."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.token.domain.signing_keys import KeyWrapper
from shared.entropy import SystemEntropy
from tests.dialects.exchanges import check_headers
from tests.dialects.running import KEY, Answer, Platform

pytestmark = pytest.mark.asyncio(loop_scope="module")

STRANGER = generate_private_key(SECP256R1())


@dataclass(frozen=True)
class Genuine:
    """A good token taken apart, and the key that signed it, which only the platform has."""

    header: dict[str, Any]
    claims: dict[str, Any]
    signature: str
    key: EllipticCurvePrivateKey

    def with_header(self, **changed: Any) -> str:
        """Another header over the same signature."""
        return f"{part(self.header | changed)}.{part(self.claims)}.{self.signature}"

    def by_stranger(self, **changed: Any) -> str:
        """The same claims, signed by somebody else, under another header."""
        return jwt.encode(self.claims, STRANGER, algorithm="ES256", headers=self.header | changed)

    def signed(self, *without: str, typ: str = "at+jwt", **changed: Any) -> str:
        """Other claims, signed by the platform's own key, as another of its tokens might be."""
        claims = {name: value for name, value in (self.claims | changed).items() if name not in without}
        return jwt.encode(claims, self.key, algorithm="ES256", headers=self.header | {"typ": typ})


def part(value: object) -> str:
    """One part of a token."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def hs256_with_the_public_key(genuine: Genuine) -> str:
    """Signed with what everybody has, taken for a shared secret (RFC 8725 §2.1)."""
    pem = genuine.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = f"{part(genuine.header | {'alg': 'HS256'})}.{part(genuine.claims)}"
    mac = base64.urlsafe_b64encode(hmac.digest(pem, signed.encode(), hashlib.sha256)).rstrip(b"=").decode()
    return f"{signed}.{mac}"


Forgery = Callable[[Genuine], str]

FORGERIES: dict[str, Forgery] = {
    # Not signed by us.
    "alg none": lambda genuine: genuine.with_header(alg="none").rpartition(".")[0] + ".",
    "alg none, signed": lambda genuine: genuine.with_header(alg="none"),
    "HS256 with the public key": hs256_with_the_public_key,
    "alg RS256": lambda genuine: genuine.with_header(alg="RS256"),
    "alg not a string": lambda genuine: genuine.with_header(alg=["ES256"]),
    "other claims": lambda genuine: (
        f"{part(genuine.header)}.{part(genuine.claims | {'sub': 'root'})}.{genuine.signature}"
    ),
    "signature changed": lambda genuine: genuine.with_header()[:-5] + "AAAAA",
    "no signature": lambda genuine: genuine.with_header().rpartition(".")[0] + ".",
    "two parts": lambda genuine: genuine.with_header().rpartition(".")[0],
    "our kid, another key": lambda genuine: genuine.by_stranger(),
    "another kid": lambda genuine: genuine.by_stranger(kid="stranger"),
    "its own key in the header": lambda genuine: genuine.by_stranger(
        jwk=jwt.algorithms.ECAlgorithm.to_jwk(STRANGER.public_key(), as_dict=True)
    ),
    "wrong kid": lambda genuine: genuine.with_header(kid="stranger"),
    "kid not a string": lambda genuine: genuine.with_header(kid=["x"]),
    "type not a string": lambda genuine: genuine.with_header(typ=1),
    "header nested deeply": lambda genuine: base64.urlsafe_b64encode(b"[" * 5_000).decode() + ".e30.AAAA",
    "header not an object": lambda genuine: f"{part(['a'])}.{part(genuine.claims)}.{genuine.signature}",
    "not ASCII": lambda genuine: "ä.ö.ü",
    "nothing": lambda genuine: "",
    "spaces": lambda genuine: "a b c",
    # Signed by us, for something else.
    "type JWT": lambda genuine: genuine.signed(typ="JWT"),
    "type of a logout token": lambda genuine: genuine.signed(typ="logout+jwt"),
    "another audience": lambda genuine: genuine.signed(aud="https://api.example.com"),
    "another issuer": lambda genuine: genuine.signed(iss="https://id.example.org"),
    "without audience": lambda genuine: genuine.signed("aud"),
    "without issuer": lambda genuine: genuine.signed("iss"),
    "without client": lambda genuine: genuine.signed("client_id"),
    "without subject": lambda genuine: genuine.signed("sub"),
    "without id": lambda genuine: genuine.signed("jti"),
    "without an end": lambda genuine: genuine.signed("exp"),
    "without a beginning": lambda genuine: genuine.signed("iat"),
    "end not a number": lambda genuine: genuine.signed(exp="tomorrow"),
    "end without end": lambda genuine: genuine.signed(exp=float("inf")),
    "end null": lambda genuine: genuine.signed(exp=None),
    "not before tomorrow": lambda genuine: genuine.signed(nbf=genuine.claims["exp"] + 86_400),
    "beginning tomorrow": lambda genuine: genuine.signed(iat=genuine.claims["exp"] + 86_400),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def genuine(platform: Platform) -> Genuine:
    """A good token."""
    token = (await platform.token("client_credentials"))[1]["access_token"]
    [(kid, wrapped)] = await platform.rows(
        "SELECT kid, wrapped_private_key FROM token.signing_keys WHERE state = 'active'"
    )
    key = KeyWrapper(base64.urlsafe_b64decode(f"{KEY}="), SystemEntropy()).unwrap(kid, wrapped)
    assert isinstance(key.private_key, EllipticCurvePrivateKey)
    return Genuine(
        header=jwt.get_unverified_header(token),
        claims=jwt.decode(token, options={"verify_signature": False}),
        signature=token.rpartition(".")[2],
        key=key.private_key,
    )


async def used(platform: Platform, token: str) -> Answer:
    """Ask for a code with this token."""
    headers = {"Authorization": f"Bearer {token}"}
    return await platform.send("POST", "/otp/send", json={"email": "someone@example.com"}, headers=headers)


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=list(FORGERIES))
async def test_forgeries(platform: Platform, genuine: Genuine, forgery: Forgery) -> None:
    """A token that is not ours, or not for this, is refused with `invalid_token`."""
    answer = await used(platform, forgery(genuine))
    check_headers(answer)
    assert (answer.status, json.loads(answer.text)["error"]) == (401, "invalid_token")


@pytest.mark.parametrize("typ", ["at+jwt", "application/at+jwt", "AT+JWT"])
async def test_genuine(platform: Platform, genuine: Genuine, typ: str) -> None:
    """A token that is ours and for this is accepted, however its type is written (RFC 9068 §4)."""
    assert (await used(platform, genuine.signed(typ=typ))).status == 200
    assert (await used(platform, genuine.signed(aud=["https://api.example.com", genuine.claims["aud"]]))).status == 200
