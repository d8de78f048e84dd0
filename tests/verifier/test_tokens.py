"""Which tokens are accepted, and why others are not."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from dragoman_verifier import InsufficientScope, TokenExpired, TokenInvalid, Verifier, VerifierError, check_scopes
from dragoman_verifier.claims import ANY_AUDIENCE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.verifier.conftest import Make
from tests.verifier.issuer import Issuer
from tests.verifier.signing import AUDIENCE, Clock, Key, payload, sign


def _part(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
async def test_a_good_token(issuer: Issuer, verifier: Verifier, clock: Clock, algorithm: str) -> None:
    """A token of the issuer for this audience is accepted, whatever kind of key signed it, and its claims are told."""
    issuer.keys.append(Key("mine", algorithm))
    claims = await verifier.verify(issuer.token(issuer.keys[-1], aud=["other", AUDIENCE], roles=[{"name": "cook"}]))
    assert (claims.issuer, claims.subject, claims.client_id) == (issuer.url, "user-1", "client-1")
    assert (claims.token_id, claims.session_id, claims.key_id) == ("token-1", "session-1", "mine")
    assert claims.audience == ("other", AUDIENCE)
    assert claims.scopes == {"orders:read", "orders:write"}
    assert claims.issued_at == datetime.fromtimestamp(clock(), UTC)
    assert (claims.expires_at - claims.issued_at).total_seconds() == 600
    assert claims.raw["roles"][0]["name"] == "cook"


async def test_claims_cannot_be_changed(issuer: Issuer, verifier: Verifier) -> None:
    """A handler cannot give the next request with the same token more than the issuer signed."""
    token = issuer.token(roles=["cook"], profile={"admin": False})
    claims = await verifier.verify(token)
    with pytest.raises(TypeError):
        claims.raw["sub"] = "somebody"  # type: ignore[index]
    with pytest.raises(TypeError):
        claims.raw["profile"]["admin"] = True
    with pytest.raises(AttributeError):
        claims.raw["roles"].append("admin")
    assert (await verifier.verify(token)).raw["roles"] == ("cook",)


async def test_a_token_without_session_or_scope(issuer: Issuer, verifier: Verifier) -> None:
    """A client's own token needs neither a session nor a scope."""
    claims = await verifier.verify(issuer.token(sid=None, scope=None))
    assert (claims.session_id, claims.scopes) == (None, frozenset())
    with pytest.raises(InsufficientScope, match="orders:read"):
        check_scopes(claims, "orders:read")


@pytest.mark.parametrize(
    "changed",
    [
        *({name: None} for name in ("iss", "sub", "aud", "client_id", "iat", "exp", "jti")),
        {"iss": "https://id.example.org"},
        {"iss": ["https://id.example.org"]},
        {"aud": "https://other.example.com"},
        {"aud": []},
        {"aud": [AUDIENCE, 1]},
        {"aud": {AUDIENCE: 1}},
        {"sub": ""},
        {"sub": 7},
        {"jti": 7},
        {"sid": 7},
        {"scope": ["orders:read"]},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"exp": 10**400},
        {"exp": 253402300799.9999999},
        {"exp": "9999999999"},
        {"exp": True},
        {"iat": -1},
        {"nbf": "now"},
    ],
)
async def test_wrong_claims(issuer: Issuer, verifier: Verifier, changed: dict[str, Any]) -> None:
    """A signed token is refused when a required claim is missing, malformed, or names another issuer or audience."""
    claims = json.dumps(payload(issuer.url, issuer.clock(), **changed)).encode()
    token = jwt.PyJWS().encode(claims, issuer.keys[0].private, "ES256", {"typ": "at+jwt", "kid": "key-1"})
    with pytest.raises(TokenInvalid):
        await verifier.verify(token)


async def test_any_audience(issuer: Issuer, start: Make) -> None:
    """Who asks for no audience gets every token of the issuer; one that names none at all is still malformed."""
    verifier = await start(audience=ANY_AUDIENCE)
    for meant_for in ("https://other.example.com", list[str]()):
        token = sign(payload(issuer.url, issuer.clock(), aud=meant_for), issuer.keys[0])
        assert (await verifier.verify(token)).raw["iss"] == issuer.url
    with pytest.raises(TokenInvalid):
        await verifier.verify(sign(payload(issuer.url, issuer.clock(), aud=None), issuer.keys[0]))


@pytest.mark.parametrize("claims", [b"[]", b"7", b"{", b"\xff", b"[" * 10_000])
async def test_a_payload_that_is_no_object(issuer: Issuer, verifier: Verifier, claims: bytes) -> None:
    """Signed nonsense is refused like any other."""
    token = jwt.PyJWS().encode(claims, issuer.keys[0].private, "ES256", {"typ": "at+jwt", "kid": "key-1"})
    with pytest.raises(TokenInvalid):
        await verifier.verify(token)


@pytest.mark.parametrize("header", [{"typ": "JWT"}, {"typ": None}, {"typ": "id+jwt"}, {"kid": ""}, {"kid": "x" * 300}])
async def test_wrong_header(issuer: Issuer, verifier: Verifier, header: dict[str, Any]) -> None:
    """Other tokens of the same issuer, such as ID tokens, are no access tokens; a token must name its key."""
    with pytest.raises(TokenInvalid):
        await verifier.verify(sign(payload(issuer.url, issuer.clock()), issuer.keys[0], **header))


async def test_the_long_form_of_the_type(issuer: Issuer, verifier: Verifier) -> None:
    """The type may be written as a whole media type, in any case (RFC 9068 §4)."""
    await verifier.verify(sign(payload(issuer.url, issuer.clock()), issuer.keys[0], typ="application/AT+JWT"))


async def test_unsigned(issuer: Issuer, verifier: Verifier) -> None:
    """Nobody can make a token by saying that it is not signed."""
    for algorithm in ("none", "None", "NONE", "", None):
        header = {"typ": "at+jwt", "kid": "key-1", "alg": algorithm}
        with pytest.raises(TokenInvalid):
            await verifier.verify(f"{_part(header)}.{_part(payload(issuer.url, issuer.clock()))}.")


@pytest.mark.parametrize("published_as", ["ES256", "RS256"])
async def test_public_key_as_secret(issuer: Issuer, verifier: Verifier, published_as: str) -> None:
    """Nobody can make a token by using a published key as an HMAC secret."""
    key = Key("mine", published_as)
    issuer.keys.append(key)
    pem = key.private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    signed = f"{_part({'typ': 'at+jwt', 'kid': 'mine', 'alg': 'HS256'})}.{_part(payload(issuer.url, issuer.clock()))}"
    token = f"{signed}.{_part(hmac.new(pem, signed.encode(), hashlib.sha256).digest())}"
    with pytest.raises(TokenInvalid, match="algorithm"):
        await verifier.verify(token)


async def test_key_confusion(issuer: Issuer, verifier: Verifier) -> None:
    """A token that names one key but is signed with another is refused, also when the algorithms differ."""
    rsa_key = Key("rsa", "RS256")
    issuer.keys += [Key("key-2"), rsa_key]
    claims = payload(issuer.url, issuer.clock())
    for kid in ("key-2", "rsa"):
        with pytest.raises(TokenInvalid):
            await verifier.verify(sign(claims, issuer.keys[0], kid=kid))
    with pytest.raises(TokenInvalid):
        await verifier.verify(sign(claims, rsa_key, kid="key-1"))


async def test_pinned_algorithms(issuer: Issuer, start: Make) -> None:
    """An algorithm that was not pinned is refused, although the issuer publishes a key for it."""
    verifier = await start(algorithms=["ES256"])
    issuer.keys.append(Key("mine", "RS256"))
    with pytest.raises(TokenInvalid):
        await verifier.verify(issuer.token(issuer.keys[-1]))
    await verifier.verify(issuer.token())


async def test_critical_extensions(issuer: Issuer, verifier: Verifier) -> None:
    """A token that asks for extensions the verifier does not know is refused (RFC 7515 §4.1.11)."""
    for header in ({"crit": ["exp"], "exp": 1}, {"b64": False}):
        encoded = _part({"typ": "at+jwt", "kid": "key-1", "alg": "ES256"} | header)
        with pytest.raises(TokenInvalid):
            await verifier.verify(f"{encoded}..{_part(b'0' * 64)}")


async def test_tampered(issuer: Issuer, verifier: Verifier) -> None:
    """A token whose claims were changed after signing is refused, also when the original was verified before."""
    token = issuer.token()
    await verifier.verify(token)
    header, _, signature = token.split(".")
    changed = payload(issuer.url, issuer.clock(), sub="admin")
    with pytest.raises(TokenInvalid):
        await verifier.verify(f"{header}.{_part(changed)}.{signature}")


# What decoders of base64 pass over or add.
ODD_FORMS = ["{}==", "{}=", "{}\n", " {}", "{}*", "{}.", ".{}", "{}.x"]


@pytest.mark.parametrize("form", ODD_FORMS)
async def test_another_form_of_a_token(issuer: Issuer, verifier: Verifier, form: str) -> None:
    """A token has one form: with anything added it is none, also once the token itself was verified."""
    token = issuer.token()
    header, claims, signature = token.split(".")
    await verifier.verify(token)
    for odd in (
        form.format(token),
        ".".join((form.format(header), claims, signature)),
        ".".join((header, form.format(claims), signature)),
    ):
        with pytest.raises(TokenInvalid):
            await verifier.verify(odd)


async def test_expiry(issuer: Issuer, verifier: Verifier, clock: Clock) -> None:
    """A token is refused as expired from its end on, a minute's leeway added, also when it was verified before."""
    token = issuer.token()
    clock.pass_(659)
    await verifier.verify(token)
    clock.pass_(1)
    for _ in range(2):
        with pytest.raises(TokenExpired):
            await verifier.verify(token)


@pytest.mark.parametrize("claim", ["iat", "nbf"])
async def test_clocks_that_differ(issuer: Issuer, verifier: Verifier, clock: Clock, claim: str) -> None:
    """A token from a clock one minute ahead is accepted, one from further in the future is not (user-pains row 10)."""
    ahead: dict[str, Any] = {claim: int(clock()) + 60}
    await verifier.verify(issuer.token(**ahead))
    ahead[claim] += 1
    with pytest.raises(TokenInvalid):
        await verifier.verify(issuer.token(**ahead))


async def test_oversize(issuer: Issuer, verifier: Verifier) -> None:
    """A token above 16 KiB is refused before it is read."""
    with pytest.raises(TokenInvalid):
        await verifier.verify(issuer.token(padding="x" * (16 << 10)))
    assert not issuer.asked


_HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "typ": st.sampled_from(["at+jwt"]) | st.text() | st.integers() | st.none(),
        "alg": st.sampled_from(["ES256", "RS256", "EdDSA"]) | st.text() | st.lists(st.text()) | st.booleans(),
        "kid": st.sampled_from(["key-1"]) | st.text() | st.integers() | st.dictionaries(st.text(), st.text()),
    },
)
_PARTS = st.binary(max_size=200).map(_part) | _HEADERS.map(_part) | st.text(max_size=20)
_TOKENS = (
    st.text()
    | st.lists(_PARTS, max_size=5).map(".".join)
    | st.tuples(_HEADERS.map(_part), _PARTS, _PARTS).map(".".join)
)


@given(token=_TOKENS)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_garbage(verifier: Verifier, token: str) -> None:
    """Whatever comes instead of a token gets the library's own error and never another."""
    with pytest.raises(VerifierError):
        await verifier.verify(token)


@pytest.mark.parametrize(
    "settings",
    [
        {"issuer": "http://id.example.com"},
        {"issuer": "id.example.com"},
        {"issuer": ""},
        {"jwks_url": "http://id.example.com/jwks"},
        {"audience": ""},
        {"audience": []},
        {"algorithms": ["HS256"]},
        {"algorithms": ["none"]},
        {"algorithms": []},
        {"leeway": -1},
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any]) -> None:
    """A mistake in the settings is told when the service starts, not with the first token."""
    with pytest.raises(ValueError, match=r"\w"):
        Verifier(**{"issuer": "https://id.example.com", "audience": AUDIENCE} | settings)


async def test_outside_its_context() -> None:
    """A verifier that was not started says how to start it."""
    verifier = Verifier("https://id.example.com", AUDIENCE)
    assert verifier.health().keys == 0
    with pytest.raises(RuntimeError, match="async with"):
        await verifier.verify("a.b.c")
