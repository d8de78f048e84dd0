"""Introspection that is answered from memory says what `token` would say."""

import json
from typing import Any

import jwt
import pytest
from pydantic import SecretStr

from shared.contracts.token import CreateClient, Revoke, RotateClientSecret, WithdrawClientSecrets
from tests.dialects.running import Answer, Platform
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 5.0
OWN = {"client_id": "abc123", "client_secret": "456789"}
OTHER = {"client_id": "other", "client_secret": "other-secret"}
MACHINE = {"client_id": "machine", "client_secret": "machine-secret"}
INACTIVE = '{"active":false}'


async def introspect(platform: Platform, token: str, client: dict[str, str] = OWN) -> Answer:
    """One request."""
    return await platform.send("POST", "/oauth/v2/introspect", data=client | {"token": token})


async def asked(platform: Platform, source: str, token: str, client: dict[str, str] = OWN) -> str:
    """The body of the answer, which has to be good and to come from there."""
    before = counted(platform, source)
    answer = await introspect(platform, token, client)
    assert answer.status == 200, answer
    assert counted(platform, source) == before + 1, source
    return answer.text


def counted(platform: Platform, source: str) -> float:
    """How many answers came from there."""
    sample = platform.telemetry.registry.get_sample_value("dragoman_introspections_total", {"source": source})
    return sample or 0.0


async def heard(platform: Platform) -> None:
    """Return once the gateway hears the feed."""
    _, body = await platform.token(
        "client_credentials", client_id="follower", client_secret="follower-secret", scope="revocations:read"
    )
    headers = {"Authorization": f"Bearer {body['access_token']}"}

    async def look() -> bool | None:
        return (await platform.send("GET", "/.well-known/revocations", headers=headers)).status == 200 or None

    await eventually(look, SECONDS, "the feed is heard")


async def proved(platform: Platform, client: dict[str, str] = OWN) -> None:
    """Have a client known, for half a minute from now."""
    platform.clock.advance(30)
    assert await asked(platform, "token", "anything", client) == INACTIVE


async def inactive(platform: Platform, token: str) -> None:
    """Return once it is told, from memory, that the token is not active."""

    async def look() -> bool | None:
        return await asked(platform, "memory", token) == INACTIVE or None

    await eventually(look, SECONDS, "the token is not active")


async def signed_in(platform: Platform, **fields: Any) -> dict[str, Any]:
    """A user's tokens."""
    return await platform.sign_in("someone@example.com", "def56789", **fields)


@pytest.mark.parametrize("whose", ["a user's", "a client's, for another audience"])
async def test_the_same_answer(platform: Platform, whose: str) -> None:
    """From memory comes, byte for byte, what `token` says."""
    await heard(platform)
    if whose == "a user's":
        token = (await signed_in(platform, scope="read"))["access_token"]
    else:
        token = (await platform.token("client_credentials", **MACHINE))[1]["access_token"]
    platform.clock.advance(30)
    before = counted(platform, "token"), counted(platform, "memory")
    from_token, from_memory = [await introspect(platform, token) for _ in range(2)]
    assert (counted(platform, "token"), counted(platform, "memory")) == (before[0] + 1, before[1] + 1)
    assert json.loads(from_token.text)["active"] is True
    assert (from_memory.status, from_memory.text) == (200, from_token.text)
    assert from_memory.headers.keys() == from_token.headers.keys()


async def test_half_a_minute(platform: Platform) -> None:
    """A client that was proved half a minute ago is proved by `token` again, and then known again."""
    await heard(platform)
    token = (await signed_in(platform))["access_token"]
    await proved(platform)
    platform.clock.advance(29.9)
    await asked(platform, "memory", token)
    platform.clock.advance(0.1)
    await asked(platform, "token", token)
    await asked(platform, "memory", token)


async def test_refresh_tokens_and_others(platform: Platform) -> None:
    """Only `token` knows refresh tokens, and judges what it did not sign."""
    await heard(platform)
    tokens = await signed_in(platform)
    await proved(platform)
    assert json.loads(await asked(platform, "token", tokens["refresh_token"]))["active"] is True
    header, payload, signature = tokens["access_token"].split(".")
    for wrong in ("x", f"{header}.{payload}.{signature[::-1]}", f"{header}.{payload}.", "ü" * 10):
        assert await asked(platform, "token", wrong) == INACTIVE


@pytest.mark.parametrize("by", ["refresh_token", "access_token"])
async def test_revoked_at_this_gateway(platform: Platform, by: str) -> None:
    """What a client has revoked is not active from the very next request on, also for another client."""
    await heard(platform)
    tokens = await signed_in(platform)
    await proved(platform)
    for client in (OWN, OTHER):
        await introspect(platform, tokens["access_token"], client)
        assert await asked(platform, "memory", tokens["access_token"], client) != INACTIVE
    answer = await platform.send("POST", "/oauth/v2/revoke", data=OWN | {"token": tokens[by]})
    assert (answer.status, answer.text) == (200, "{}")
    for client in (OWN, OTHER):
        assert await asked(platform, "memory", tokens["access_token"], client) == INACTIVE


async def test_another_clients_attempt(platform: Platform) -> None:
    """A client that tries to revoke another's tokens changes nothing, from memory neither."""
    await heard(platform)
    tokens = await signed_in(platform)
    await proved(platform)
    for name in ("refresh_token", "access_token"):
        await platform.send("POST", "/oauth/v2/revoke", data=OTHER | {"token": tokens[name]})
    assert await asked(platform, "memory", tokens["access_token"]) != INACTIVE


@pytest.mark.parametrize("kind", ["token", "session", "user", "client"])
async def test_revoked_elsewhere(platform: Platform, kind: str) -> None:
    """What somebody else has revoked is not active as soon as the feed has told it."""
    await heard(platform)
    client = {"client_id": f"revoked-{kind}", "client_secret": "secret"}
    await register(platform, client)
    token = (await signed_in(platform, **client))["access_token"]
    await proved(platform)
    assert await asked(platform, "memory", token) != INACTIVE
    said = jwt.decode(token, options={"verify_signature": False})
    value = said[{"token": "jti", "session": "sid", "user": "sub", "client": "client_id"}[kind]]
    await platform.operate(Revoke.model_validate({"kind": kind, "value": value}))
    await inactive(platform, token)
    platform.clock.advance(1)  # so that the user may sign in again


async def test_expired(platform: Platform) -> None:
    """A token ends at its second, from memory as by `token`."""
    await heard(platform)
    token = (await signed_in(platform))["access_token"]
    left = jwt.decode(token, options={"verify_signature": False})["exp"] - platform.clock.now().timestamp()
    platform.clock.advance(left - 1 - 30)
    await proved(platform)
    assert await asked(platform, "memory", token) != INACTIVE
    platform.clock.advance(1)
    assert await asked(platform, "memory", token) == INACTIVE
    platform.clock.advance(30)
    assert await asked(platform, "token", token) == INACTIVE
    platform.clock.advance(60)  # past the verifier's leeway too
    await proved(platform)
    assert await asked(platform, "memory", token) == INACTIVE


async def test_a_withdrawn_secret(platform: Platform) -> None:
    """A secret that was withdrawn opens nothing once the feed has told it; the new one does, and is known."""
    await heard(platform)
    client = {"client_id": "withdrawn", "client_secret": "secret"}
    await register(platform, client)
    token = (await signed_in(platform))["access_token"]
    platform.clock.advance(0.25)  # in the second in which all of it happens
    rotated = await platform.operate(RotateClientSecret(client_id="withdrawn"))
    new = {"client_id": "withdrawn", "client_secret": rotated.client_secret.get_secret_value()}
    for each in (client, new):
        await asked(platform, "token", token, each)
        await asked(platform, "memory", token, each)
    await platform.operate(WithdrawClientSecrets(client_id="withdrawn"))

    async def look() -> bool | None:
        answer = await introspect(platform, token, client)
        assert answer.status in {200, 401}, answer
        return answer.status == 401 or None

    await eventually(look, SECONDS, "the old secret is refused")
    assert (await introspect(platform, token, client)).status == 401
    await asked(platform, "token", token, new)
    await asked(platform, "memory", token, new)


async def register(platform: Platform, client: dict[str, str]) -> None:
    """A client that may do everything."""
    await platform.operate(
        CreateClient(
            client_id=client["client_id"],
            client_secret=SecretStr(client["client_secret"]),
            grants=["client_credentials", "password", "refresh_token"],
        )
    )
