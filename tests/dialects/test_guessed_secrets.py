"""Guessing a client's secret, as the guesser, the client and its neighbours see it."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest
import pytest_asyncio

from shared.contracts.token import CreateClient
from tests.dialects.conftest import OpenPlatform
from tests.dialects.exchanges import check_headers
from tests.dialects.running import Answer, Platform
from tests.dialects.test_limits import calls

pytestmark = pytest.mark.asyncio(loop_scope="module")

FIELDS: dict[str, dict[str, str]] = {
    "/oauth/v2/token": {"grant_type": "client_credentials"},
    "/oauth/v2/revoke": {"token": "some-token"},
    "/oauth/v2/introspect": {"token": "some-token"},
}
SUBJECTS = ("token.grant_client_credentials.v1", "token.revoke_token.v1", "token.introspect_token.v1")
_numbers = count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def behind_proxy(open_other: OpenPlatform) -> AsyncIterator[Platform]:
    """A gateway behind a trusted proxy; limits of paths are off."""
    async with open_other(gateway_trusted_proxies="127.0.0.1/32") as running:
        yield running


@pytest.fixture
def address() -> str:
    """A client's address that no other test has used."""
    return f"198.51.100.{next(_numbers)}"


async def prove(
    platform: Platform,
    client_id: str,
    secret: str,
    address: str,
    *,
    path: str = "/oauth/v2/token",
    basic: bool = False,
) -> Answer:
    """Have a client prove itself, seen by the proxy from this address."""
    headers = {"X-Forwarded-For": address}
    body: dict[str, Any] = dict(FIELDS[path])
    if basic:
        headers["Authorization"] = "Basic " + b64encode(f"{client_id}:{secret}".encode()).decode()
    else:
        body |= {"client_id": client_id, "client_secret": secret}
    answer = await platform.send("POST", path, data=body, headers=headers)
    check_headers(answer)
    return answer


async def new_client(platform: Platform) -> tuple[str, str]:
    """A client that no gateway has seen, with a secret that was generated."""
    name = f"client-{next(_numbers)}"
    client = await platform.operate(CreateClient(client_id=name, grants=["client_credentials"]))
    return name, client.client_secret.get_secret_value()


def asked(platform: Platform) -> float:
    """How often `token` was asked."""
    return sum(calls(platform, subject) for subject in SUBJECTS)


@pytest.mark.parametrize("path", FIELDS)
@pytest.mark.parametrize("basic", [True, False], ids=["header", "body"])
async def test_guesses(behind_proxy: Platform, path: str, *, basic: bool, address: str) -> None:
    """After twenty wrong secrets a client gets no answer for a minute, wherever it asks; then it does."""
    name, secret = await new_client(behind_proxy)
    for n in range(20):
        answer = await prove(behind_proxy, name, f"guess-{n}", address, path=path, basic=basic)
        assert (answer.status, answer.json()["error"]) == (401, "invalid_client")
    before = asked(behind_proxy)
    for other_path in FIELDS:
        refused = await prove(behind_proxy, name, secret, address, path=other_path, basic=basic)
        assert (refused.status, refused.headers["Retry-After"]) == (429, "60")
        assert refused.json() == {
            "error": "temporarily_unavailable",
            "error_description": "Too many requests. Please try again later.",
        }
    assert asked(behind_proxy) == before
    behind_proxy.clock.advance(60)
    assert (await prove(behind_proxy, name, secret, address, path=path, basic=basic)).status == 200


async def test_guesses_at_once(behind_proxy: Platform, address: str) -> None:
    """Of sixty guesses at the same moment `token` sees no more than twenty, and the metric the others."""
    name, _ = await new_client(behind_proxy)
    labels = {"path": "/oauth/v2/token", "outcome": "limited", "by": "process"}

    def refused() -> float:
        read = behind_proxy.telemetry.registry.get_sample_value
        return read("dragoman_rate_limit_decisions_total", labels) or 0.0

    before, refused_before = asked(behind_proxy), refused()
    answers = await asyncio.gather(*(prove(behind_proxy, name, f"guess-{n}", address) for n in range(60)))
    assert sorted(answer.status for answer in answers) == [401] * 20 + [429] * 40
    assert asked(behind_proxy) == before + 20
    assert refused() == refused_before + 40


async def test_a_client_that_starts(behind_proxy: Platform, address: str) -> None:
    """A client that begins with many requests at the same moment gets an answer to each."""
    name, secret = await new_client(behind_proxy)
    answers = await asyncio.gather(*(prove(behind_proxy, name, secret, address) for _ in range(64)))
    assert {answer.status for answer in answers} == {200}


async def test_a_client_with_the_wrong_secret(behind_proxy: Platform, address: str) -> None:
    """A client that was set up wrongly is told so, however often it tries."""
    name, _ = await new_client(behind_proxy)
    answers = await asyncio.gather(*(prove(behind_proxy, name, "mistyped", address) for _ in range(64)))
    assert {answer.status for answer in answers} == {401}


async def test_the_neighbours_of_a_guesser(behind_proxy: Platform, address: str) -> None:
    """Who guesses keeps out neither a client that was seen at work, from the same address, nor anybody elsewhere."""
    name, secret = await new_client(behind_proxy)
    assert (await prove(behind_proxy, name, secret, address)).status == 200
    await asyncio.gather(*(prove(behind_proxy, name, f"guess-{n}", address) for n in range(30)))
    await asyncio.gather(*(prove(behind_proxy, f"made-up-{n}", "guess", address) for n in range(320)))
    assert (await prove(behind_proxy, name, "guess", address)).status == 429
    assert (await prove(behind_proxy, "made-up", "guess", address)).status == 429
    for path in FIELDS:
        assert (await prove(behind_proxy, name, secret, address, path=path)).status == 200
    newcomer, its_secret = await new_client(behind_proxy)
    assert (await prove(behind_proxy, newcomer, its_secret, f"203.0.113.{next(_numbers)}")).status == 200
