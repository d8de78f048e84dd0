"""What becomes of refresh tokens at the `oauth2` dialect."""

import asyncio
from typing import Any

import pytest

from tests.dialects.running import Platform

pytestmark = pytest.mark.asyncio(loop_scope="module")

REFUSED = (400, {"error": "invalid_grant", "error_description": "Invalid refresh token"})
EXPIRED = (400, {"error": "invalid_grant", "error_description": "Refresh token has expired"})
FORTNIGHT = 14 * 86_400


async def begun(platform: Platform, **fields: Any) -> str:
    """The refresh token of a new session."""
    tokens = await platform.sign_in("someone@example.com", "def56789", **fields)
    return str(tokens["refresh_token"])


async def refreshed(platform: Platform, refresh_token: str, **fields: Any) -> str:
    """The successor of a refresh token; fails where it is refused."""
    status, body = await platform.token("refresh_token", refresh_token=refresh_token, **fields)
    assert status == 200, body
    return str(body["refresh_token"])


async def test_fifty_at_once(platform: Platform) -> None:
    """Fifty refreshes of one token at the same moment all succeed with the same successor, and it works."""
    before = await platform.rows("SELECT count(*) FROM token.sessions WHERE revoked_at IS NULL")
    token = await begun(platform)
    successors = await asyncio.gather(*(refreshed(platform, token) for _ in range(50)))
    assert len(set(successors)) == 1
    after = await platform.rows("SELECT count(*) FROM token.sessions WHERE revoked_at IS NULL")
    assert after[0][0] == before[0][0] + 1
    await refreshed(platform, successors[0])


async def test_lost_answer(platform: Platform) -> None:
    """Who did not get the answer asks again within the grace and gets the same successor."""
    token = await begun(platform)
    successor = await refreshed(platform, token)
    platform.clock.advance(10)
    assert await refreshed(platform, token) == successor
    await refreshed(platform, successor)


async def test_replay_ends_the_session(platform: Platform) -> None:
    """A token that comes again after the grace ends the session: the newest token is dead too."""
    token = await begun(platform)
    successor = await refreshed(platform, token)
    newest = await refreshed(platform, successor)
    platform.clock.advance(11)
    assert await platform.token("refresh_token", refresh_token=successor) == REFUSED
    assert await platform.token("refresh_token", refresh_token=newest) == REFUSED


async def test_replay_leaves_other_sessions(platform: Platform) -> None:
    """What happens to one session of a user is nothing to the others."""
    token, bystander = await begun(platform), await begun(platform)
    await refreshed(platform, await refreshed(platform, token))
    assert await platform.token("refresh_token", refresh_token=token) == REFUSED
    await refreshed(platform, bystander)


async def test_expiry(platform: Platform) -> None:
    """A token that was not used for a fortnight has expired, and that is told; one that is used lives on."""
    token = await begun(platform)
    platform.clock.advance(FORTNIGHT - 1)
    token = await refreshed(platform, token)
    platform.clock.advance(FORTNIGHT - 1)
    token = await refreshed(platform, token)
    platform.clock.advance(FORTNIGHT)
    assert await platform.token("refresh_token", refresh_token=token) == EXPIRED


async def test_another_clients_token(platform: Platform) -> None:
    """A client that has got hold of another one's token can do nothing with it, and the session goes on."""
    token = await begun(platform)
    stolen = await platform.token("refresh_token", refresh_token=token, client_id="other", client_secret="other-secret")
    assert stolen == REFUSED
    await refreshed(platform, token)


@pytest.mark.parametrize("change", ["shorter", "longer", "padded", "altered", "altered at the end", "empty space"])
async def test_malformed_token(platform: Platform, change: str) -> None:
    """A token that is not exactly the one we gave is refused, and the session goes on."""
    token = await begun(platform)
    changed = {
        "shorter": token[:-1],
        "longer": token + "A",
        "padded": token + "=",
        "altered": token[:10] + ("A" if token[10] != "A" else "B") + token[11:],
        "altered at the end": token[:-1] + chr(ord(token[-1]) + 1),
        "empty space": f" {token}",
    }[change]
    assert await platform.token("refresh_token", refresh_token=changed) == REFUSED
    await refreshed(platform, token)


async def test_narrower_scope(platform: Platform) -> None:
    """Less scope can be asked for at any refresh, more than was granted never, and asking for more harms nothing."""
    token = await begun(platform, scope="read")
    refused = await platform.token("refresh_token", refresh_token=token, scope="read write")
    assert refused == (400, {"error": "invalid_scope", "error_description": "An unsupported scope was requested."})
    status, body = await platform.token("refresh_token", refresh_token=token, scope="read")
    assert (status, body["scope"]) == (200, "read")


async def test_access_token_is_no_refresh_token(platform: Platform) -> None:
    """An access token refreshes nothing."""
    tokens = await platform.sign_in("someone@example.com", "def56789")
    assert await platform.token("refresh_token", refresh_token=tokens["access_token"]) == REFUSED
