"""Refreshing a session: rotation, grace, replay, expiry, and what a refresh token is bound to."""

import asyncio
import json

from shared.contracts.token import TokenSet
from tests.integration.token.conftest import Platform, Token, outcome, refresh_token

GRACE = 10


async def counter(token: Token, held: TokenSet) -> int:
    """How often the session was advanced."""
    found = await token.platform.database.fetchval("SELECT counter FROM token.sessions WHERE id = $1", held.session_id)
    return int(found)


async def told(token: Token) -> list[tuple[str, str]]:
    """Session and reason of each end of a session that was told."""
    rows = await token.platform.database.fetch("SELECT subject, body FROM token.outbox ORDER BY position")
    assert {row["subject"] for row in rows} <= {"token.session_revoked.v1"}
    bodies = [json.loads(row["body"]) for row in rows]
    return [(body["session_id"], body["reason"]) for body in bodies]


async def test_rotation(token: Token) -> None:
    """Each refresh gives new tokens of the same session, and its life begins anew; the user need not sign in again."""
    held = await token.sign_in(scope="read")
    signed_in = await token.claims(held)
    for count in range(1, 4):
        token.platform.clock.advance(13 * 86_400)
        successor = await token.refresh(held)
        assert refresh_token(successor) != refresh_token(held)
        assert (successor.session_id, successor.scope) == (held.session_id, "read")
        assert successor.refresh_expires_in == 14 * 86_400
        assert await counter(token, held) == count
        claims = await token.claims(successor)
        assert claims["auth_time"] == signed_in["auth_time"]
        assert claims["jti"] != signed_in["jti"]
        held = successor


async def test_grace_yields_the_same_successor(token: Token) -> None:
    """A client whose answer was lost gets the same successor again, without another advance, until the grace ends."""
    held = await token.sign_in()
    first = await token.refresh(held)
    token.platform.clock.advance(GRACE)
    again = await token.refresh(held)
    assert refresh_token(again) == refresh_token(first)
    assert await counter(token, held) == 1
    assert await told(token) == []


async def test_fifty_refreshes_at_once(token: Token) -> None:
    """Fifty tabs that refresh at the same moment all get the same successor from one advance, and one session lives."""
    held = await token.sign_in()
    successors = await asyncio.gather(*(token.refresh(held) for _ in range(50)))
    assert len({refresh_token(successor) for successor in successors}) == 1
    assert await counter(token, held) == 1
    live = await token.platform.database.fetchval("SELECT count(*) FROM token.sessions WHERE revoked_at IS NULL")
    assert live == 1
    assert await outcome(token.refresh(successors[7])) == "ok"


async def test_many_sessions_at_once(token: Token) -> None:
    """Sessions that are refreshed at the same moment each get their own successor, and bad tokens among them theirs."""
    held = [await token.sign_in() for _ in range(6)]
    used = held[4]
    newest = await token.refresh(await token.refresh(used))
    ended = held[5]
    await token.platform.database.execute(
        "UPDATE token.sessions SET revoked_at = created_at WHERE id = $1", ended.session_id
    )
    outcomes = [asyncio.create_task(outcome(token.refresh(one))) for one in (used, ended)]
    successors = await asyncio.gather(*(token.refresh(one) for one in held[:4]))
    assert [successor.session_id for successor in successors] == [one.session_id for one in held[:4]]
    assert [await counter(token, one) for one in held[:4]] == [1] * 4
    assert await asyncio.gather(*outcomes) == ["session_replayed", "session_revoked"]
    assert await outcome(token.refresh(newest)) == "session_revoked"


async def test_a_session_that_is_locked_keeps_nobody_else_waiting(token: Token) -> None:
    """Whoever refreshes at the same moment as a session that is being changed is answered at once."""
    locked, free = await token.sign_in(), [await token.sign_in() for _ in range(3)]
    async with token.platform.database.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM token.sessions WHERE id = $1 FOR UPDATE", locked.session_id)
        waiting = asyncio.create_task(token.refresh(locked))
        successors = await asyncio.gather(*(token.refresh(one) for one in free))
        assert [successor.session_id for successor in successors] == [one.session_id for one in free]
        assert not waiting.done()
    assert (await waiting).session_id == locked.session_id
    assert await counter(token, locked) == 1


async def test_replay_after_the_grace_ends_the_family(token: Token) -> None:
    """A used token that comes back after the grace ends its session, the newest token too, and that is told once."""
    held, bystander = await token.sign_in(), await token.sign_in()
    successor = await token.refresh(held)
    token.platform.clock.advance(GRACE + 1)
    assert await outcome(token.refresh(held)) == "session_replayed"
    assert await outcome(token.refresh(held)) == "session_revoked"
    assert await outcome(token.refresh(successor)) == "session_revoked"
    assert await told(token) == [(str(held.session_id), "replayed")]
    assert await outcome(token.refresh(bystander)) == "ok"


async def test_replays_at_once_are_told_once(token: Token) -> None:
    """A thief and the owner who come at the same moment end the session once."""
    held = await token.sign_in()
    await token.refresh(held)
    token.platform.clock.advance(GRACE + 1)
    outcomes = await asyncio.gather(*(outcome(token.refresh(held)) for _ in range(8)))
    assert sorted(outcomes) == ["session_replayed"] + ["session_revoked"] * 7
    assert len(await told(token)) == 1


async def test_two_behind_is_a_replay(token: Token) -> None:
    """Only the token right before the current one has a grace; an older one ends the session even at once."""
    held = await token.sign_in()
    await token.refresh(await token.refresh(held))
    assert await outcome(token.refresh(held)) == "session_replayed"


async def test_no_grace(platform: Platform) -> None:
    """With the grace set to nothing the second use of a token is a replay."""
    async with platform.running(refresh_grace_seconds="0") as token:
        await token.create_client()
        held = await token.sign_in()
        await token.refresh(held)
        platform.clock.advance(0.001)
        assert await outcome(token.refresh(held)) == "session_replayed"


async def test_bound_to_client_and_dialect(token: Token) -> None:
    """A refresh token is worth nothing to another client or in another dialect, and trying so harms nobody."""
    await token.create_client("other")
    held = await token.sign_in()
    assert await outcome(token.refresh(held, client="other")) == "session_unknown"
    assert await outcome(token.refresh(held, dialect="directus")) == "session_unknown"
    token.platform.clock.advance(GRACE + 1)
    assert await counter(token, held) == 0
    assert await outcome(token.refresh(held)) == "ok"
    token.platform.clock.advance(GRACE + 1)
    assert await outcome(token.refresh(held, client="other")) == "session_unknown"
    assert await told(token) == []


async def test_expired(token: Token) -> None:
    """A refresh token that was not used in its time has expired, which is not told as a theft."""
    held = await token.sign_in()
    token.platform.clock.advance(14 * 86_400)
    assert await outcome(token.refresh(held)) == "session_expired"
    assert await told(token) == []


async def test_one_second_before_expiry(token: Token) -> None:
    """To the last second a refresh token works."""
    held = await token.sign_in()
    token.platform.clock.advance(14 * 86_400 - 1)
    assert await outcome(token.refresh(held)) == "ok"


async def test_altered(token: Token) -> None:
    """A refresh token with a character changed is unknown and ends nothing."""
    held = await token.sign_in()
    text = refresh_token(held)
    altered = text[:-1] + ("A" if text[-1] != "A" else "B")
    for presented in (altered, text + "=", text.lower(), "x" * 10_000, "\0"):
        assert await outcome(token.refresh(presented)) == "session_unknown"
    assert await outcome(token.refresh(held)) == "ok"


async def test_scopes(token: Token) -> None:
    """Asking for less narrows this access token alone; asking for more is refused and leaves the token as it was."""
    held = await token.sign_in(scope="read write")
    assert await outcome(token.refresh(held, scope="read admin")) == "invalid_scope"
    assert await counter(token, held) == 0
    narrowed = await token.refresh(held, scope="read")
    assert (narrowed.scope, (await token.claims(narrowed))["scope"]) == ("read", "read")
    # Inside the grace too.
    assert await outcome(token.refresh(held, scope="admin")) == "invalid_scope"
    assert (await token.refresh(narrowed)).scope == "read write"


async def test_scope_that_was_never_granted(token: Token) -> None:
    """A session without a scope gets none at a refresh, though the client might have had it at sign-in."""
    assert await outcome(token.refresh(await token.sign_in(), scope="read")) == "invalid_scope"


async def test_a_change_of_the_refresh_key(platform: Platform) -> None:
    """Sessions go on while the key before is known, the grace included, and those that were refreshed go on without."""
    async with platform.running() as token:
        await token.create_client()
        first, second = await token.sign_in(), await token.sign_in()
    old, new = platform.settings["DRAGOMAN_TOKEN_REFRESH_KEY"], "_____________________________________________w"
    async with platform.running(refresh_key=new, refresh_key_previous=old) as token:
        refreshed = await token.refresh(first)
        assert (await token.refresh(first)).refresh_token == refreshed.refresh_token
    async with platform.running(refresh_key=new) as token:
        assert await outcome(token.refresh(refreshed)) == "ok"
        assert await outcome(token.refresh(second)) == "session_unknown"


async def test_another_refresh_key(platform: Platform) -> None:
    """After the refresh key was replaced no old token counts, and none is taken for a replay."""
    async with platform.running() as token:
        await token.create_client()
        held = await token.sign_in()
    async with platform.running(refresh_key="_____________________________________________w") as token:
        assert await outcome(token.refresh(held)) == "session_unknown"
        assert await told(token) == []
