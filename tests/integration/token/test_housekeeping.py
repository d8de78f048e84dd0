"""What is removed once nobody can use it any more, and what a refresh costs the table that is tidied."""

from datetime import datetime, timedelta
from uuid import UUID

from tests.integration.token.conftest import Platform, Token, eventually, outcome

_INSERT = (
    "INSERT INTO token.sessions (id, user_id, client_id, dialect, methods, created_at, rotated_at, expires_at) "
    "SELECT gen_random_uuid(), gen_random_uuid(), 'abc123', 'oauth2', '{}', $1, $1, $1 FROM generate_series(1, $2) "
    "RETURNING id"
)
_COUNT = "SELECT count(*) FROM token.sessions"


async def expiring(platform: Platform, expires_at: datetime, number: int) -> list[UUID]:
    """So many sessions that end at that moment."""
    return [row["id"] for row in await platform.database.fetch(_INSERT, expires_at, number)]


async def test_expired_sessions(platform: Platform) -> None:
    """Sessions are deleted a day after they expired, many batches of them too; nobody else's is touched."""
    now = platform.clock.now()
    await expiring(platform, now - timedelta(days=1, seconds=1), 3000)
    await expiring(platform, now - timedelta(hours=23), 3)
    await expiring(platform, now + timedelta(days=1), 2)
    async with platform.running() as token:
        await token.create_client()
        held = await token.sign_in()
        await eventually(lambda: platform.database.fetchval(f"SELECT ({_COUNT}) <= 6"))
        assert await platform.database.fetchval(_COUNT) == 6
        assert await outcome(token.refresh(held)) == "ok"


async def test_expired_sessions_in_use(platform: Platform) -> None:
    """A session that somebody else is just changing is left for the next time, and holds up nobody."""
    expired = await expiring(platform, platform.clock.now() - timedelta(days=2), 1000)
    async with platform.database.acquire() as busy, busy.transaction():
        await busy.execute("SELECT 1 FROM token.sessions WHERE id = $1 FOR UPDATE", expired[0])
        async with platform.running():
            await eventually(lambda: platform.database.fetchval(f"SELECT ({_COUNT}) <= 1"))
            left = await platform.database.fetch("SELECT id FROM token.sessions")
            assert [row["id"] for row in left] == expired[:1]


async def test_revocations_that_no_longer_matter(platform: Platform) -> None:
    """All of them are deleted, many batches of them too, and none that matters."""
    insert = (
        "INSERT INTO token.revocations (kind, value, reason, revoked_at, expires_at, announced_at) "
        "SELECT 'session', gen_random_uuid()::text, 'revoked', $1, $1, $1 FROM generate_series(1, $2)"
    )
    now = platform.clock.now()
    await platform.database.execute(insert, now - timedelta(seconds=1), 1200)
    await platform.database.execute(insert, now + timedelta(seconds=1), 2)
    count = "SELECT count(*) FROM token.revocations"
    async with platform.running():
        await eventually(lambda: platform.database.fetchval(f"SELECT ({count}) <= 2"))
        assert await platform.database.fetchval(count) == 2


async def test_a_refresh_changes_no_index(token: Token) -> None:
    """What a refresh changes is in no index, so that PostgreSQL writes the row anew on its own page and nothing else.

    Otherwise each of millions of refreshes a day writes to every index of the table, each time somewhere else.
    """
    held = await token.sign_in()
    row = "SELECT * FROM token.sessions WHERE id = $1"
    before = await token.platform.database.fetchrow(row, held.session_id)
    token.platform.clock.advance(60)
    await token.refresh(held)
    after = await token.platform.database.fetchrow(row, held.session_id)
    assert before is not None
    assert after is not None
    changed = {name for name in after.keys() if after[name] != before[name]}  # noqa: SIM118 - a record yields values
    assert changed == {"counter", "rotated_at", "expires_at"}
    indexes = await token.platform.database.fetch(
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'token' AND tablename = 'sessions'"
    )
    assert indexes
    assert [index["indexdef"] for index in indexes if any(name in index["indexdef"] for name in changed)] == []
