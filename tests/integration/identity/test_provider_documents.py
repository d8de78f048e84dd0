"""Discovery documents and keys: how long they are kept, and which keys count."""

from collections.abc import AsyncIterator

import pytest
from joserfc.jwk import OctKey

from services.identity.providers.documents import Documents
from services.identity.providers.web import open_web
from tests.support.oidc_provider import DISCOVERY, KEYS, FakeProvider

HOUR = 3600.0


class Monotonic:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        """Tell them."""
        return self.seconds


@pytest.fixture
def monotonic() -> Monotonic:
    """What the documents go by."""
    return Monotonic()


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    """The provider."""
    async with FakeProvider() as started:
        yield started


@pytest.fixture
async def documents(monotonic: Monotonic) -> AsyncIterator[Documents]:
    """The documents of nobody yet."""
    async with open_web() as http:
        yield Documents(http, monotonic)


async def test_endpoints_are_kept_for_an_hour(
    provider: FakeProvider, documents: Documents, monotonic: Monotonic
) -> None:
    """A provider that moves an endpoint is followed within the hour."""
    first = await documents.endpoints(provider.url)
    provider.metadata = {"token_endpoint": f"{provider.url}/moved"}
    monotonic.seconds += HOUR - 1
    assert await documents.endpoints(provider.url) == first
    assert provider.asked == [DISCOVERY]
    monotonic.seconds += 1
    assert (await documents.endpoints(provider.url)).token == f"{provider.url}/moved"


async def test_keys_are_asked_for_again(provider: FakeProvider, documents: Documents, monotonic: Monotonic) -> None:
    """A new key is found once somebody names it, but however many name unknown ones, not every time."""
    url = f"{provider.url}{KEYS}"

    async def kids(*, again: bool = False) -> list[str | None]:
        return [key.kid for key in await documents.keys(provider.url, url, again=again)]

    assert await kids() == ["first"]
    provider.key = "second"
    assert await kids(again=True) == ["first"]
    monotonic.seconds += 30
    assert await kids() == ["first"]
    assert await kids(again=True) == ["second"]
    assert await kids() == ["second"]
    assert provider.asked == [KEYS, KEYS]


async def test_keys_that_do_not_count(provider: FakeProvider, documents: Documents) -> None:
    """Keys of kinds that nobody knows, shared secrets and nonsense are left out; the others count."""
    good = {"kty": "EC", "crv": "P-256", "kid": "good"}
    good |= {"x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}
    secret = OctKey.import_key("a secret that everybody can read").as_dict(private=True)
    provider.answers[KEYS] = {
        "keys": [secret, {"kty": "AKP", "pub": "AAAA"}, {"kty": "RSA"}, {"kty": 1}, {}, "key", None, good]
    }
    assert [key.kid for key in await documents.keys(provider.url, f"{provider.url}{KEYS}")] == ["good"]
