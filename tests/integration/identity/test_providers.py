"""Providers, as operators configure and check them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from shared.contracts.providers import (
    AddProvider,
    CheckProvider,
    ListProviders,
    Provider,
    ProviderChecked,
    RemoveProvider,
)
from tests.integration.identity.conftest import Identity, Platform, outcome
from tests.integration.identity.visitors import mounted
from tests.support.oidc_provider import DISCOVERY, KEYS, SECRET_NAME, TOKEN, FakeProvider


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    """The provider."""
    async with FakeProvider() as started:
        yield started


@pytest.fixture
async def identity(platform: Platform, tmp_path: Path) -> AsyncIterator[Identity]:
    """`identity`, with the client's secret mounted."""
    async with platform.running(provider_secrets=mounted(tmp_path), provider_seconds="0.5") as started:
        yield started


async def add(identity: Identity, provider: Provider, *, replace: bool = False) -> Provider:
    """Configure a provider."""
    return await identity.callers["operator"].call(AddProvider(provider=provider, replace=replace))


async def check(identity: Identity, name: str = "example") -> ProviderChecked:
    """Check a provider."""
    return await identity.callers["operator"].call(CheckProvider(name=name))


async def names(identity: Identity) -> list[str]:
    """All providers as the gateway sees them."""
    told = await identity.callers["gateway"].call(ListProviders())
    return [provider.name for provider in told.providers]


async def test_configured(identity: Identity, provider: FakeProvider) -> None:
    """Providers are added, listed by name with all that was said of them, replaced and removed."""
    first, second = provider.configured("second", label="Second"), provider.configured("first", "github")
    assert await names(identity) == []
    assert await add(identity, first) == first
    assert await add(identity, second) == second
    told = await identity.callers["operator"].call(ListProviders())
    assert told.providers == [second, first]
    renamed = provider.configured("second", label="Renamed")
    assert await outcome(add(identity, renamed)) == "conflict"
    assert await outcome(add(identity, first)) == "ok", "the same once more, as after a lost answer"
    assert await add(identity, renamed, replace=True) == renamed
    assert (await identity.callers["gateway"].call(ListProviders())).providers == [second, renamed]
    await identity.callers["operator"].call(RemoveProvider(name="second"))
    assert await names(identity) == ["first"]
    assert await outcome(identity.callers["operator"].call(RemoveProvider(name="second"))) == "not_found"


async def test_mistakes(identity: Identity, provider: FakeProvider) -> None:
    """A configuration that cannot work is not kept."""
    assert await outcome(add(identity, provider.configured(secret="../secret"))) == "invalid_request"
    assert await outcome(add(identity, provider.configured(issuer=None), replace=True)) == "invalid_request"
    assert await names(identity) == []


@pytest.mark.parametrize("kind", ["oidc", "oauth2", "github"])
async def test_all_is_well(identity: Identity, provider: FakeProvider, kind: str) -> None:
    """A provider that answers and knows our client has no problems, and its endpoints are told."""
    await add(identity, provider.configured(kind=kind))
    found = await check(identity)
    assert found.problems == []
    assert found.endpoints["token"] == provider.url + TOKEN
    assert ("jwks" in found.endpoints) == (kind == "oidc")


async def test_unknown(identity: Identity) -> None:
    """Nobody can check what was never configured."""
    assert await outcome(check(identity)) == "not_found"


@pytest.mark.parametrize(
    ("trouble", "problem"),
    [
        ({"metadata": {"issuer": "https://elsewhere.example.com"}}, "another issuer"),
        ({"metadata": {"token_endpoint": "http://example.com/token"}}, "https is required"),
        ({"metadata": {"token_endpoint_auth_methods_supported": ["private_key_jwt"]}}, "client_secret_basic"),
        ({"status": {DISCOVERY: 404}}, "answered 404"),
        ({"silent": {DISCOVERY}}, "did not answer in time"),
        ({"answers": {KEYS: {"keys": []}}}, "published keys"),
        ({"status": {KEYS: 500}}, "answered 500"),
        ({"huge": {KEYS}}, "more than makes sense"),
        ({"answers": {TOKEN: {"error": "incorrect_client_credentials"}}}, "does not take our client"),
    ],
)
async def test_problems(identity: Identity, provider: FakeProvider, trouble: dict[str, Any], problem: str) -> None:
    """Each thing that would keep people out is told in words."""
    for name, value in trouble.items():
        setattr(provider, name, value)
    await add(identity, provider.configured())
    (told,) = (await check(identity)).problems
    assert problem in told


async def test_secrets(identity: Identity, provider: FakeProvider, tmp_path: Path) -> None:
    """A secret that is missing, or another than the provider has, is told, and the secret itself is not."""
    await add(identity, provider.configured())
    (tmp_path / SECRET_NAME).write_text("quite another secret")
    (told,) = (await check(identity)).problems
    assert "does not take our client" in told
    assert "quite another" not in told
    (tmp_path / SECRET_NAME).unlink()
    (told,) = (await check(identity)).problems
    assert told == f"there is no client secret {SECRET_NAME} among those mounted for identity"


async def test_down(identity: Identity, provider: FakeProvider) -> None:
    """A provider that is not there is told as such."""
    await add(identity, provider.configured())
    await provider.stop()
    (told,) = (await check(identity)).problems
    assert "did not answer" in told


async def test_on_the_schema_of_the_release_before(identity: Identity, platform: Platform) -> None:
    """Before the migration there are no providers, which clients may ask for, and none can be added."""
    await platform.database.execute("ALTER TABLE identity.providers RENAME TO not_yet")
    try:
        assert await names(identity) == []
        assert (
            await outcome(add(identity, Provider(name="a", kind="github", client_id="c", secret="s"))) == "unavailable"
        )
    finally:
        await platform.database.execute("ALTER TABLE identity.not_yet RENAME TO providers")
