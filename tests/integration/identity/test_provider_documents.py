"""Discovery documents and keys: how long they are kept, and which keys count."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from joserfc.jwk import OctKey, RSAKey

from services.identity.providers.client import ProviderClient
from services.identity.providers.documents import Documents
from services.identity.providers.secrets import ProviderSecrets
from services.identity.providers.web import open_web
from shared.clock import SystemClock
from shared.errors import Error
from tests.integration.identity.visitors import CALLBACK, mounted
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


async def test_new_key(provider: FakeProvider, documents: Documents, monotonic: Monotonic, tmp_path: Path) -> None:
    """Whoever comes back with a token under a new key is recognised, once newer keys may be asked for."""
    async with open_web() as http:
        client = ProviderClient(http, documents, ProviderSecrets(mounted(tmp_path)), 3.0, SystemClock())
        configured, nonce, verifier = provider.configured(), "the nonce", "v" * 43

        async def sign_in() -> str:
            url = await client.authorization_url(
                configured, callback_url=CALLBACK, state="the state", nonce=nonce, code_verifier=verifier
            )
            code = (await provider.visit(url))["code"]
            found = await client.redeem(
                configured, code=code, issuer=None, callback_url=CALLBACK, nonce=nonce, code_verifier=verifier
            )
            return found.subject

        assert await sign_in() == "person-1"
        provider.key = "second"
        with pytest.raises(Error, match="a key that nobody knows"):
            await sign_in()
        monotonic.seconds += 30
        assert await sign_in() == "person-1"


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
async def test_keys_that_do_not_count(provider: FakeProvider, documents: Documents) -> None:
    """Keys of kinds that nobody knows, shared secrets, weak keys and nonsense are left out; the others count."""
    good = {"kty": "EC", "crv": "P-256", "kid": "good"}
    good |= {"x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}
    secret = OctKey.import_key("a secret that everybody can read").as_dict(private=True)
    weak = RSAKey.generate_key(1024).as_dict(private=False)
    provider.answers[KEYS] = {
        "keys": [secret, weak, {"kty": "AKP", "pub": "AAAA"}, {"kty": "RSA"}, {"kty": 1}, {}, "key", None, good]
    }
    assert [key.kid for key in await documents.keys(provider.url, f"{provider.url}{KEYS}")] == ["good"]
