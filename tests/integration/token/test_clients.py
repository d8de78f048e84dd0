"""Clients and their secrets: what is kept, how many live at once, for how long."""

import asyncio
import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import pytest
from argon2 import PasswordHasher

from services.token import client_authentication
from services.token.client_authentication import ClientAuthentication
from services.token.domain import clients
from services.token.repository.clients import ClientRepository
from services.token.repository.revocations import RevocationRepository
from shared.bus.outbox import Outbox
from shared.contracts.token import ClientProof, ListClients
from shared.errors import Error, ErrorCode
from shared.hashing import HashPool
from shared.postgres import Database
from shared.testing import SeededEntropy
from tests.integration.token.conftest import CLIENT, SECRET, Platform, Token, outcome

T = TypeVar("T")


def _repository(database: Database) -> ClientRepository:
    outbox = Outbox("token", SeededEntropy())
    return ClientRepository(database, outbox, RevocationRepository(database, timedelta(days=1)))


async def live(token: Token, *secrets: str) -> list[bool]:
    """Whether each of these secrets is accepted now."""
    return [await outcome(token.client_credentials(secret=secret)) == "ok" for secret in secrets]


async def test_what_is_kept_of_secrets(token: Token) -> None:
    """A generated secret is kept as its SHA-256, one brought along as argon2id; neither can be read anywhere."""
    created = await token.create_client("generated", None)
    assert created.client_secret is not None
    generated = created.client_secret.get_secret_value()
    rows = await token.platform.database.fetch("SELECT client_id, kind, digest FROM token.client_secrets")
    kept = {row["client_id"]: (row["kind"], row["digest"]) for row in rows}
    assert kept["generated"] == ("sha256", hashlib.sha256(generated.encode()).hexdigest())
    kind, digest = kept[CLIENT]
    assert kind == "argon2id"
    assert PasswordHasher().verify(digest, SECRET)
    tables = await token.platform.database.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'token'")
    for table in tables:
        for row in await token.platform.database.fetch(f"SELECT t::text AS row FROM token.{table['tablename']} t"):
            assert generated not in row["row"]
            assert SECRET not in row["row"]
    assert await outcome(token.client_credentials("generated", generated)) == "ok"


async def test_secret_is_shown_once(token: Token) -> None:
    """Only the answer that made a secret shows it; a secret that was brought along is never shown."""
    created = await token.create_client("other")
    listed = (await token.neighbours["operator"].call(ListClients())).clients
    assert created.client_secret is None
    assert [client.client_id for client in listed] == [CLIENT, "other"]
    assert all(client.client_secret is None for client in listed)


async def test_two_live_secrets_and_expiry(token: Token) -> None:
    """After a rotation both secrets work until the overlap ends, then only the new one."""
    rotated = await token.rotate(overlap=60)
    assert rotated.client_secret is not None
    new = rotated.client_secret.get_secret_value()
    assert len(rotated.secrets) == 2
    assert await live(token, SECRET, new) == [True, True]
    token.platform.clock.advance(59)
    assert await live(token, SECRET, new) == [True, True]
    token.platform.clock.advance(1)
    assert await live(token, SECRET, new) == [False, True]


async def test_third_rotation_leaves_two(token: Token) -> None:
    """However often a secret is rotated, the last two work and no older one."""
    secrets = [SECRET]
    for _ in range(3):
        rotated = await token.rotate()
        assert rotated.client_secret is not None
        assert len(rotated.secrets) == 2
        secrets.append(rotated.client_secret.get_secret_value())
    assert await live(token, *secrets) == [False, False, True, True]
    assert await token.platform.database.fetchval("SELECT count(*) FROM token.client_secrets") == 2


async def test_rotations_at_once(token: Token) -> None:
    """Rotations that happen at the same time leave two live secrets too."""
    await asyncio.gather(*(token.rotate() for _ in range(6)))
    assert await token.platform.database.fetchval("SELECT count(*) FROM token.client_secrets") == 2


async def test_emergency_rotation(token: Token) -> None:
    """Without an overlap the old secret is dead at once, although it had been verified a moment ago."""
    assert await live(token, SECRET) == [True]
    rotated = await token.rotate(overlap=0)
    assert rotated.client_secret is not None
    assert await live(token, SECRET, rotated.client_secret.get_secret_value()) == [False, True]
    assert len(rotated.secrets) == 1


@pytest.mark.parametrize("client_id", ["nobody", "", "a\0b"])
async def test_rotating_nobody(token: Token, client_id: str) -> None:
    """Rotating the secret of a client that does not exist is `not_found`."""
    assert await outcome(token.rotate(client_id)) == "not_found"


@pytest.mark.parametrize("overlap", [-1, 367 * 86_400, 10**30])
async def test_overlap_out_of_bounds(token: Token, overlap: int) -> None:
    """An overlap that cannot be meant is refused and changes nothing."""
    assert await outcome(token.rotate(overlap=overlap)) == "invalid_request"
    assert await live(token, SECRET) == [True]


async def test_taken_id(token: Token) -> None:
    """A client id is taken once; replacing it on purpose replaces its secrets and rights too."""
    with pytest.raises(Error) as caught:
        await token.create_client(secret="another")
    assert (caught.value.code, caught.value.detail) == (ErrorCode.CONFLICT, {"field": "client_id"})
    assert await live(token, SECRET, "another") == [True, False]
    await token.create_client(secret="another", scopes=["other"], replace=True)
    assert await live(token, SECRET, "another") == [False, True]
    assert await outcome(token.client_credentials(secret="another", scope="read")) == "invalid_scope"


@pytest.mark.parametrize("changed", [{"client_id": "a b"}, {"secret": ""}, {"scopes": ["a b"]}, {"name": "\0"}])
async def test_refused_registrations(token: Token, changed: dict[str, str]) -> None:
    """A client that could never be used is refused rather than registered."""
    assert await outcome(token.create_client(**({"client_id": "x"} | changed))) == "invalid_request"


class CountingPool(HashPool):
    """Counts what it hashes."""

    hashed = 0

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        """Count, then hash."""
        self.hashed += 1
        return await super().run(work, *arguments)


async def test_brought_secret_is_remembered(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that was brought along is hashed at its first use and again after a minute; a wrong one each time."""
    async with platform.running() as token:
        await token.create_client()
    loop = asyncio.get_running_loop()
    moment = loop.time()
    monkeypatch.setattr(loop, "time", lambda: moment)
    proof = ClientProof.model_validate({"client_id": CLIENT, "client_secret": SECRET})
    wrong = ClientProof.model_validate({"client_id": CLIENT, "client_secret": "wrong"})
    url = platform.settings["DRAGOMAN_POSTGRES_URL"]
    async with Database(url, name="test", acquire_seconds=20) as database, CountingPool(1, 64) as pool:
        checks = ClientAuthentication(_repository(database), pool, platform.clock, SeededEntropy())
        for _ in range(3):
            await checks.authenticate(proof, "password")
        assert pool.hashed == 1
        for _ in range(2):
            with pytest.raises(Error):
                await checks.authenticate(wrong, "password")
        assert pool.hashed == 3
        moment += client_authentication._REMEMBERED_SECONDS + 1
        await checks.authenticate(proof, "password")
        assert pool.hashed == 4


async def test_many_requests_with_one_brought_secret(platform: Platform) -> None:
    """Forty requests of one client that come at once cost one hash, so that nobody waits or is turned away."""
    async with platform.running() as token:
        await token.create_client()
    proof = ClientProof.model_validate({"client_id": CLIENT, "client_secret": SECRET})
    url = platform.settings["DRAGOMAN_POSTGRES_URL"]
    async with Database(url, name="test") as database, CountingPool(1, 4) as pool:
        checks = ClientAuthentication(_repository(database), pool, platform.clock, SeededEntropy())
        await asyncio.gather(*(checks.authenticate(proof, "password") for _ in range(40)))
        assert pool.hashed == 1


async def test_slow_secret_does_not_stop_the_service(token: Token) -> None:
    """What is hashed is hashed beside the event loop, with OWASP's strength."""
    row = await token.platform.database.fetchrow("SELECT digest FROM token.client_secrets")
    assert row is not None
    assert row["digest"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert clients.matches_brought(SECRET, row["digest"])
