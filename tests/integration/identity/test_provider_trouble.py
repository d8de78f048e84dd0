"""Providers that are down, slow or broken: a clear answer in time, and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.identity.providers.web import MOST_AT_ONCE
from shared.errors import Error
from tests.integration.identity.conftest import EMAIL, Identity, Platform, outcome
from tests.integration.identity.visitors import Visitor, mounted
from tests.support.oidc_provider import DISCOVERY, KEYS, SECRET_NAME, TOKEN, USER_INFO, FakeProvider
from tests.support.waiting import eventually

SECONDS = 1.0


@pytest.fixture
async def provider(platform: Platform) -> AsyncIterator[FakeProvider]:
    """The provider, by the same clock."""
    async with FakeProvider(platform.clock, in_id_token=("sub",)) as started:
        yield started


@pytest.fixture
async def identity(platform: Platform, tmp_path: Path) -> AsyncIterator[Identity]:
    """`identity`, which waits for no provider as long as others would."""
    async with platform.running(provider_secrets=mounted(tmp_path), provider_seconds=str(SECONDS)) as started:
        yield started


@pytest.fixture
async def visitor(identity: Identity, provider: FakeProvider) -> Visitor:
    """Somebody at a browser, with the provider configured."""
    visitor = Visitor(identity, provider)
    await visitor.configure()
    return visitor


async def test_down(visitor: Visitor) -> None:
    """While the provider is down nobody goes there or comes back, and is told when to try again; then all is well."""
    back = await visitor.visit()
    await visitor.provider.stop()
    with pytest.raises(Error) as refused:
        await visitor.come_back(back)
    assert refused.value.code == "unavailable"
    assert refused.value.retry_after is not None
    await visitor.configure(name="unasked", issuer=f"{visitor.provider.url}/unasked")
    assert await outcome(visitor.begin("unasked")) == "unavailable"
    assert await outcome(visitor.identity.create()) == "ok"
    assert await outcome(visitor.identity.authenticate(EMAIL)) == "ok"
    await visitor.provider.start()
    visitor.provider.person["email"] = "second@example.com"
    assert await outcome(visitor.sign_in()) == "ok"


@pytest.mark.parametrize("path", [DISCOVERY, KEYS, TOKEN, USER_INFO])
async def test_silence(visitor: Visitor, path: str) -> None:
    """A provider that does not answer is given up after its time."""
    visitor.provider.silent.add(path)
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert await outcome(visitor.sign_in()) == "unavailable"
    assert loop.time() - started < SECONDS + 2


@pytest.mark.parametrize("path", [DISCOVERY, KEYS, TOKEN, USER_INFO])
@pytest.mark.parametrize(
    "trouble",
    [
        {"status": 500},
        {"status": 302},
        {"status": 429},
        {"huge": True},
        {"answer": "no object"},
    ],
)
async def test_nonsense(visitor: Visitor, path: str, trouble: dict[str, Any]) -> None:
    """Faults, redirects, endless answers and nonsense are no answers, wherever they come from."""
    if "status" in trouble:
        visitor.provider.status[path] = trouble["status"]
    if "huge" in trouble:
        visitor.provider.huge.add(path)
    if "answer" in trouble:
        visitor.provider.answers[path] = trouble["answer"]
    # At the token endpoint nonsense is an answer to the code, whose state is spent.
    expected = "wrong_password" if path == TOKEN and "answer" in trouble else "unavailable"
    assert await outcome(visitor.sign_in()) == expected


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://elsewhere.example.com"},
        {"issuer": None},
        {"token_endpoint": "http://example.com/token"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": None},
        {"userinfo_endpoint": ["https://example.com"]},
        {"token_endpoint_auth_methods_supported": ["private_key_jwt"]},
    ],
)
async def test_discovery_that_makes_no_sense(visitor: Visitor, metadata: dict[str, Any]) -> None:
    """A document of another issuer, or with endpoints where nobody should be asked, sends no browser anywhere."""
    visitor.provider.metadata = metadata
    assert await outcome(visitor.begin()) == "unavailable"


async def test_others_go_on(visitor: Visitor, platform: Platform) -> None:
    """Only so many wait for a provider that does not answer, and neither other providers nor passwords wait at all."""
    await visitor.identity.create(email="second@example.com")
    visitor.provider.silent.add(DISCOVERY)
    async with FakeProvider(platform.clock) as second:
        other = Visitor(visitor.identity, second)
        await other.configure(name="other")
        waiting = [asyncio.create_task(outcome(visitor.begin())) for _ in range(MOST_AT_ONCE + 5)]

        async def all_wait() -> bool | None:
            return visitor.provider.asked.count(DISCOVERY) >= MOST_AT_ONCE or None

        await eventually(all_wait, 5.0, "as many ask as may")
        assert await outcome(other.sign_in("other")) == "ok"
        assert await outcome(visitor.identity.authenticate("second@example.com")) == "ok"
        assert sorted(await asyncio.gather(*waiting)) == ["overloaded"] * 5 + ["unavailable"] * MOST_AT_ONCE


async def test_secret(visitor: Visitor, tmp_path: Path) -> None:
    """A secret that is missing or wrong is the operator's trouble and not the visitor's; a new one counts at once."""
    mounted_secret = tmp_path / SECRET_NAME
    right = mounted_secret.read_text()
    mounted_secret.write_text("not the secret of the client")
    assert await outcome(visitor.sign_in()) == "unavailable"
    mounted_secret.unlink()
    assert await outcome(visitor.sign_in()) == "unavailable"
    mounted_secret.write_text(right)
    assert await outcome(visitor.sign_in()) == "ok"


async def test_asked_no_more_than_needed(visitor: Visitor) -> None:
    """The document and the keys are asked for once, for all who sign in within the hour."""
    for _ in range(3):
        await visitor.sign_in()
    assert visitor.provider.asked.count(DISCOVERY) == 1
    assert visitor.provider.asked.count(KEYS) == 1


async def test_counted(visitor: Visitor) -> None:
    """What becomes of sign-ins is counted by provider."""
    await visitor.sign_in()
    visitor.provider.claims = {"nonce": "another"}
    await outcome(visitor.sign_in())
    read = visitor.identity.kit.telemetry.registry.get_sample_value
    for what in ("signed_in", "wrong_password"):
        labels = {"provider": "example", "outcome": what}
        assert read("dragoman_identity_provider_sign_ins_total", labels) == 1
