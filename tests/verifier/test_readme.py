"""The README's examples do what it says; the FastAPI one runs in test_wheel.py, where FastAPI is installed."""

import time
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from tests.verifier.issuer import Issuer
from tests.verifier.readme import examples
from tests.verifier.signing import Clock


@pytest.fixture
def clock() -> Clock:
    """The examples know no other time than the machine's."""
    return Clock(time.time())  # noqa: TID251


def run(example: str) -> dict[str, Any]:
    """What an example defines when it is imported."""
    found: dict[str, Any] = {"__name__": "example"}
    exec(compile(example, "README.md", "exec"), found)
    return found


async def test_a_token_in_your_hand(issuer: Issuer, capsys: pytest.CaptureFixture[str]) -> None:
    """The first example tells what a good token may do, and why another is refused."""
    main = run(examples(issuer.url)[0])["main"]
    await main(issuer.token())
    await main(issuer.token(aud="https://other.example.com"))
    assert capsys.readouterr().out == (
        "user-1 may orders:read orders:write\nrefused: the token is meant for another audience\n"
    )


async def test_an_aiohttp_service(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second example serves good tokens, asks for a scope and refuses what was revoked."""
    monkeypatch.setenv("ORDERS_CLIENT_SECRET", issuer.secret)
    example = examples(issuer.url)[1].replace('client_id="orders"', 'client_id="verifier"')
    issuer.revoke("session", "session-9")
    async with TestClient(TestServer(run(example)["make_app"]())) as client:

        async def ask(method: str, path: str, **changed: Any) -> int:
            headers = {"Authorization": f"Bearer {issuer.token(**changed)}"}
            return (await client.request(method, path, headers=headers)).status

        assert await ask("GET", "/whoami") == 200
        assert await ask("GET", "/whoami", sid="session-9") == 401
        assert await ask("POST", "/orders") == 201
        assert await ask("POST", "/orders", scope="orders:read") == 403
        metrics = await client.get("/metrics")
        assert "dragoman_verifier_revocations_live 1" in await metrics.text()
