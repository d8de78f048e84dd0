"""Suspended users and changed passwords end sessions, whatever the order in which things happen."""

import asyncio
import json
import random
from datetime import timedelta
from uuid import UUID, uuid4  # noqa: TID251 - tests need fresh ids only

import pytest

from shared.contracts.identity import PasswordChanged, UserDeleted, UserSuspended
from shared.contracts.token import Revoke
from tests.integration.token.conftest import Platform, Token, outcome

SESSIONS_TOLD = "SELECT count(*) FROM token.outbox WHERE subject = 'token.session_revoked.v1'"
LIVE = "SELECT count(*) FROM token.sessions WHERE revoked_at IS NULL AND user_id = $1"


async def reasons(token: Token) -> list[str]:
    """The reason of each end of a session that was told."""
    rows = await token.platform.database.fetch(
        "SELECT body FROM token.outbox WHERE subject = 'token.session_revoked.v1' ORDER BY position"
    )
    return [json.loads(row["body"])["reason"] for row in rows]


async def test_suspended_user(token: Token) -> None:
    """All sessions of a suspended user end and are told; those of others go on."""
    other = uuid4()
    held = [await token.sign_in(), await token.sign_in()]
    bystander = await token.sign_in(f"{other}@example.com")
    now = token.platform.clock.now()
    await token.tell(UserSuspended(user_id=token.platform.identity.user_id, suspended_at=now))
    assert [await outcome(token.refresh(one)) for one in held] == ["session_revoked"] * 2
    assert await outcome(token.refresh(bystander)) == "ok"
    assert await reasons(token) == ["user_suspended"] * 2


async def test_event_that_comes_twice(token: Token) -> None:
    """The same event again, after the user was let in again, ends nothing more."""
    event_id = uuid4()
    event = UserSuspended(user_id=token.platform.identity.user_id, suspended_at=token.platform.clock.now())
    await token.sign_in()
    await token.tell(event, event_id)
    token.platform.clock.advance(1)
    held = await token.sign_in()
    await token.tell(event, event_id)
    assert await outcome(token.refresh(held)) == "ok"
    assert await reasons(token) == ["user_suspended"]


async def test_changed_password(token: Token) -> None:
    """Sessions begun before the password changed end; one begun with the new password lives, however late the news."""
    old = await token.sign_in()
    token.platform.clock.advance(1)
    changed_at = token.platform.clock.now()
    token.platform.clock.advance(1)
    new = await token.sign_in()
    await token.tell(PasswordChanged(user_id=token.platform.identity.user_id, changed_at=changed_at))
    assert await outcome(token.refresh(old)) == "session_revoked"
    assert await outcome(token.refresh(new)) == "ok"
    assert await reasons(token) == ["password_changed"]


async def test_older_news_come_later(token: Token) -> None:
    """An older event that arrives after a newer one does not let back in what the newer one shut out."""
    user_id = token.platform.identity.user_id
    asked = token.platform.clock.now()
    suspended_at = asked + timedelta(seconds=5)

    async def meanwhile() -> None:
        await token.tell(UserSuspended(user_id=user_id, suspended_at=suspended_at))
        await token.tell(PasswordChanged(user_id=user_id, changed_at=asked - timedelta(days=1)))

    token.platform.identity.before_answer = meanwhile
    assert await outcome(token.sign_in()) == "wrong_password"


async def test_clocks_that_disagree(token: Token) -> None:
    """A suspended user has no session left even if identity's clock is behind ours."""
    held = await token.sign_in()
    behind = token.platform.clock.now() - timedelta(seconds=5)
    await token.tell(UserSuspended(user_id=token.platform.identity.user_id, suspended_at=behind))
    assert await outcome(token.refresh(held)) == "session_revoked"


@pytest.mark.parametrize("how", ["suspended", "deleted", "revoked by an operator"])
async def test_replicas_whose_clocks_disagree(token: Token, how: str) -> None:
    """A session that a replica has begun, whose clock is ahead of the one that ends it, is ended as well."""
    clock, user_id = token.platform.clock, token.platform.identity.user_id
    clock.advance(60)
    held = await token.sign_in()
    clock.advance(-60)
    if how == "suspended":
        await token.tell(UserSuspended(user_id=user_id, suspended_at=clock.now()))
    elif how == "deleted":
        await token.tell(UserDeleted(user_id=user_id, deleted_at=clock.now()))
    else:
        await token.neighbours["operator"].call(Revoke(kind="user", value=str(user_id)))
    assert await outcome(token.refresh(held)) == "session_revoked"
    assert await token.platform.database.fetchval(LIVE, user_id) == 0


@pytest.mark.parametrize("event", [UserSuspended, PasswordChanged])
async def test_sign_in_that_was_on_its_way(token: Token, event: type[UserSuspended | PasswordChanged]) -> None:
    """Who proved who they are just before they were suspended, or the password changed, gets no session after it."""
    user_id = token.platform.identity.user_id

    async def meanwhile() -> None:
        moment = {"suspended_at": token.platform.clock.now(), "changed_at": token.platform.clock.now()}
        await token.tell(event.model_validate({"user_id": user_id} | moment))

    token.platform.identity.before_answer = meanwhile
    assert await outcome(token.sign_in()) == "wrong_password"
    assert await token.platform.database.fetchval(LIVE, user_id) == 0


async def test_sign_in_racing_with_suspension(platform: Platform) -> None:
    """Of a hundred users, each suspended while signing in, at any moment of it, none keeps a live session."""
    chance = random.Random(2)

    async def race(token: Token, user_id: UUID) -> str:
        delay = chance.uniform(0, 0.02)

        async def suspend() -> None:
            await asyncio.sleep(delay)
            await token.tell(UserSuspended(user_id=user_id, suspended_at=platform.clock.now()))

        signed_in, _ = await asyncio.gather(outcome(token.sign_in(f"{user_id}@example.com")), suspend())
        return signed_in

    async def answer_slowly() -> None:
        await asyncio.sleep(chance.uniform(0, 0.005))

    platform.identity.before_answer = answer_slowly
    async with platform.running() as token:
        await token.create_client()
        outcomes: list[str] = []
        for _ in range(20):
            outcomes += await asyncio.gather(*(race(token, uuid4()) for _ in range(5)))
    assert set(outcomes) == {"ok", "wrong_password"}, "the race went the same way each time"
    assert await platform.database.fetchval("SELECT count(*) FROM token.sessions WHERE revoked_at IS NULL") == 0
    # Each session that began was told to have ended, once.
    told = "SELECT count(*) FROM token.outbox WHERE subject = 'token.session_revoked.v1'"
    assert await platform.database.fetchval(told) == outcomes.count("ok")


async def test_refresh_racing_with_suspension(token: Token) -> None:
    """Sessions that are being refreshed when their user is suspended end all the same."""
    held = [await token.sign_in() for _ in range(8)]
    event = UserSuspended(user_id=token.platform.identity.user_id, suspended_at=token.platform.clock.now())
    await asyncio.gather(token.tell(event), *(outcome(token.refresh(one)) for one in held))
    assert await token.platform.database.fetchval(LIVE, token.platform.identity.user_id) == 0
    assert await reasons(token) == ["user_suspended"] * 8
