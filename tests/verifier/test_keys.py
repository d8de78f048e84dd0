"""How the issuer's keys are fetched, and what happens while they cannot be."""

import asyncio

import pytest
from dragoman_verifier import KeysUnavailable, TokenInvalid, Verifier
from dragoman_verifier.keys import fresh_seconds

from tests.support.waiting import eventually
from tests.verifier.conftest import Make
from tests.verifier.issuer import Issuer, Mood
from tests.verifier.signing import Clock, Key, payload, sign


async def test_many_first_requests_fetch_once(issuer: Issuer, verifier: Verifier) -> None:
    """A hundred requests at the start of a service ask the issuer for its keys once."""
    await asyncio.gather(*(verifier.verify(issuer.token(jti=f"token-{n}")) for n in range(100)))
    assert issuer.asked == {"/.well-known/openid-configuration": 1, "/jwks": 1}


async def test_a_cancelled_request_takes_no_other_along(issuer: Issuer, verifier: Verifier) -> None:
    """A client that goes away while the keys are fetched does not spoil the fetch for those who wait too."""
    first = asyncio.create_task(verifier.verify(issuer.token()))
    second = asyncio.create_task(verifier.verify(issuer.token()))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).subject == "user-1"


async def test_unknown_keys_do_not_flood_the_issuer(issuer: Issuer, verifier: Verifier, clock: Clock) -> None:
    """However many keys are made up, the issuer is asked once per interval (user-pains row 8)."""
    claims, key = payload(issuer.url, clock()), Key("made-up")
    await verifier.verify(issuer.token())
    for seconds in (11.0, 11.0, 11.0):
        clock.pass_(seconds)
        before = issuer.asked["/jwks"]
        for n in range(50):
            with pytest.raises(TokenInvalid):
                await verifier.verify(sign(claims, key, kid=f"made-up-{n}-{clock()}"))
        assert issuer.asked["/jwks"] == before + 1


async def test_one_unknown_key_is_not_asked_for_again_and_again(
    issuer: Issuer, verifier: Verifier, clock: Clock
) -> None:
    """A client that keeps sending a token with a key that is gone makes one fetch per minute at most."""
    token = sign(payload(issuer.url, clock()), Key("gone"))
    await verifier.verify(issuer.token())
    clock.pass_(11)
    for _ in range(5):
        with pytest.raises(TokenInvalid):
            await verifier.verify(token)
        clock.pass_(10.5)
    assert issuer.asked["/jwks"] == 2


async def test_rotation(issuer: Issuer, verifier: Verifier, clock: Clock) -> None:
    """While the issuer changes its keys, publishing each before it signs, no token is refused (user-pains row 9)."""
    for number in range(2, 8):
        issuer.keys.append(Key(f"key-{number}"))
        clock.pass_(11)
        for key in issuer.keys[-2:]:
            await verifier.verify(issuer.token(key, jti=f"{number}-{key.kid}"))
        issuer.keys = issuer.keys[-2:]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 300),
        ("max-age=60", 60),
        ("public, MAX-AGE=60", 60),
        ("no-store", 0),
        ("no-cache, max-age=60", 0),
        ("max-age=999999999", 86_400),
        ("max-age=abc", 300),
    ],
)
def test_how_long_keys_are_fresh(header: str | None, seconds: float) -> None:
    """The issuer says how long its keys may be used without asking; a day at most, five minutes if it says nothing."""
    assert fresh_seconds({"Cache-Control": header} if header else {}) == seconds


async def test_a_withdrawn_key_takes_its_tokens_along(issuer: Issuer, verifier: Verifier, clock: Clock) -> None:
    """When a key is no longer published, what it signed is refused after max-age, also tokens that were remembered."""
    issuer.cache_control = "max-age=60"
    token = issuer.token()
    await verifier.verify(token)
    issuer.keys = [Key("key-2")]
    clock.pass_(59)
    await verifier.verify(token)
    clock.pass_(1)
    with pytest.raises(TokenInvalid):
        await verifier.verify(token)


@pytest.mark.parametrize("mood", ["down", "garbage", "large", "redirect"])
async def test_issuer_away(issuer: Issuer, verifier: Verifier, clock: Clock, mood: Mood) -> None:
    """While the issuer is away its last keys serve on, for a day; then, and for new keys, nobody can tell."""
    await verifier.verify(issuer.token())
    issuer.mood = mood
    clock.pass_(86_000)
    await verifier.verify(issuer.token())
    assert verifier.health().keys_problem
    assert verifier.health().keys_age == 86_000
    with pytest.raises(KeysUnavailable) as raised:
        await verifier.verify(issuer.token(Key("new")))
    assert 1 <= raised.value.retry_after <= 10
    clock.pass_(401)
    with pytest.raises(KeysUnavailable):
        await verifier.verify(issuer.token())


@pytest.mark.parametrize("mood", ["down", "garbage", "large", "redirect"])
async def test_issuer_away_at_the_start(issuer: Issuer, verifier: Verifier, clock: Clock, mood: Mood) -> None:
    """Without keys nobody can tell good from bad; the issuer is asked again once per interval, and then all is well."""
    issuer.mood = mood
    for _ in range(5):
        with pytest.raises(KeysUnavailable):
            await verifier.verify(issuer.token())
    assert issuer.asked.total() == 1
    issuer.mood = "well"
    clock.pass_(10)
    await verifier.verify(issuer.token())
    assert verifier.health().keys_problem is None


async def test_an_issuer_that_hangs_at_the_start(issuer: Issuer, verifier: Verifier) -> None:
    """A request waits five seconds for keys and no longer, and so do all that come meanwhile."""
    issuer.mood = "slow"
    async with asyncio.timeout(8):
        answers = await asyncio.gather(*(verifier.verify(issuer.token()) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(answer, KeysUnavailable) for answer in answers)
    assert issuer.asked.total() == 1


async def test_an_issuer_that_hangs_slows_nobody_down(issuer: Issuer, verifier: Verifier, clock: Clock) -> None:
    """Once the issuer failed, known keys are used at once while the next attempt hangs in the background."""
    await verifier.verify(issuer.token())
    issuer.mood = "down"
    clock.pass_(400)
    await verifier.verify(issuer.token(jti="2"))
    issuer.mood = "slow"
    clock.pass_(10)
    async with asyncio.timeout(1):
        await verifier.verify(issuer.token(jti="3"))

    async def asked() -> bool | None:
        return issuer.asked["/jwks"] == 3 or None

    await eventually(asked, 5, "the attempt in the background")


async def test_keys_that_are_of_no_use(issuer: Issuer, verifier: Verifier) -> None:
    """Keys for encryption, private or secret ones, unknown kinds and nonsense are passed over."""
    good, rsa = issuer.keys[0].jwk, Key("rsa", "RS256").jwk
    issuer.extra_keys = [
        None,
        "key",
        {},
        {"kid": "key-1"},
        {"kid": "key-1", "kty": "new"},
        {"kid": 7, **good, "kty": "EC"} | {"kid": 7},
        {**good, "kid": "enc", "use": "enc"},
        {**good, "kid": "ops", "key_ops": ["sign"]},
        {**good, "kid": "ops", "key_ops": 7},
        {**good, "kid": "alg", "alg": "ES999"},
        {**good, "kid": "private", "d": "AAAA"},
        {**good, "kid": "curve", "crv": "P-1"},
        {**good, "kid": "point", "x": "AAAA"},
        {**rsa, "kid": "weak", "n": "sXchz3"},
        {"kid": "secret", "kty": "oct", "k": "AAAA", "alg": "HS256"},
        {"kid": "none", "kty": "EC", "alg": "none"},
        {**good, "kid": "none too", "alg": "none"},
        {**good, "kid": "numbers", "x": 7, "y": None},
        {**rsa, "kid": "numbers too", "n": "", "e": ""},
        {"kid": "okp", "kty": "OKP", "crv": "Ed25519", "x": "AAAA", "alg": "EdDSA"},
        {"kid": "kinds", "kty": ["EC"], "alg": {"ES256": 1}, "crv": {}},
    ]
    await verifier.verify(issuer.token())
    assert verifier.health().keys == 1


async def test_metadata_of_another_issuer(issuer: Issuer, verifier: Verifier) -> None:
    """Keys are not taken from metadata that names another issuer (RFC 8414 §3.3)."""
    issuer.metadata = {"issuer": "https://id.example.org"}
    with pytest.raises(KeysUnavailable, match="another issuer"):
        await verifier.verify(issuer.token())


@pytest.mark.parametrize("url", ["http://id.example.com/jwks", "file:///etc/passwd", 7, None])
async def test_keys_in_the_clear(issuer: Issuer, verifier: Verifier, url: object) -> None:
    """Keys are not fetched over a network in the clear, whatever the metadata says."""
    issuer.metadata = {"jwks_uri": url}
    with pytest.raises(KeysUnavailable):
        await verifier.verify(issuer.token())


async def test_keys_at_a_given_address(issuer: Issuer, start: Make) -> None:
    """An owner who knows where the keys are needs no metadata."""
    verifier = await start(jwks_url=f"{issuer.url}/jwks")
    await verifier.verify(issuer.token())
    assert issuer.asked == {"/jwks": 1}


async def test_remembered_tokens_are_bounded(issuer: Issuer, start: Make) -> None:
    """The memory for verified tokens does not grow with their number, and keeps those used last."""
    verifier = await start(cache_size=3)
    tokens = [issuer.token(jti=f"token-{n}") for n in range(5)]
    for token in tokens:
        await verifier.verify(tokens[0])
        await verifier.verify(token)
    health = verifier.health()
    assert (health.cached, health.cache_hits, health.cache_misses) == (3, 5, 5)
