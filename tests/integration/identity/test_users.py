"""Creating, replacing, suspending and listing users, and what is told of it."""

import asyncio
import json
from uuid import UUID, uuid4  # noqa: TID251 - tests need fresh ids only

import pytest

from shared.contracts.identity import GetUser, ListUsers
from shared.errors import Error, ErrorCode
from tests.integration.identity.conftest import (
    EMAIL,
    NEW_PASSWORD,
    PASSWORD,
    PHONE,
    USERNAME,
    Identity,
    Platform,
    outcome,
)

OTHERS_ID = "4d0c6ae3-4f0b-4a6a-9c1e-1d6f6d2f5a10"


async def test_created(identity: Identity) -> None:
    """A user is kept under the canonical form of each identifier, and their coming is told."""
    user = await identity.create(email=" Someone@EXAMPLE.com", phone="0151 / 12345678", username="SomeOne")
    assert (user.email, user.phone, user.username, user.state) == (EMAIL, PHONE, USERNAME, "active")
    assert identity.platform.password.kept == {user.id: PASSWORD}
    assert await identity.told() == ["identity.user_created.v1"]


@pytest.mark.parametrize(
    ("again", "field"),
    [
        ({"email": "SOMEONE@example.com"}, "email"),
        ({"phone": "0151-12345678"}, "phone"),
        ({"username": "SOMEONE"}, "username"),
        ({"email": "other@example.com", "phone": "+49 151 12345678"}, "phone"),
        ({"email": "other@example.com", "username": "ＳＯＭＥＯＮＥ"}, "username"),
    ],
)
async def test_taken(identity: Identity, again: dict[str, str], field: str) -> None:
    """An identifier that somebody has in any spelling is a conflict that names it; nothing is changed or told."""
    user = await identity.create()
    with pytest.raises(Error) as caught:
        await identity.create(**again, password=NEW_PASSWORD)
    assert (caught.value.code, caught.value.detail) == (ErrorCode.CONFLICT, {"field": field})
    assert identity.platform.password.kept == {user.id: PASSWORD}
    assert await identity.told() == ["identity.user_created.v1"]


@pytest.mark.parametrize(
    ("name", "named"),
    [
        *((name, True) for name in (EMAIL, " SOMEONE@Example.com", "someone@example\u3002com", "SomeOne", "{id}")),
        *((name, True) for name in (PHONE, "0151/12345678", "0049 151 12345678")),
        *((name, False) for name in (None, "", "None", "somebody", "someone@example.org", "0151/12345679", OTHERS_ID)),
    ],
    ids=ascii,
)
async def test_whom_a_name_names(identity: Identity, name: str | None, named: bool) -> None:
    """Who asks for a user is told whether a name, in whatever form, is one of theirs."""
    user = await identity.create()
    asked = None if name is None else name.replace("{id}", str(user.id).upper())
    found = await identity.callers["token"].call(GetUser(user_id=user.id, name=asked))
    assert (found.id, found.email, found.named) == (user.id, EMAIL, named)


async def test_names_that_a_user_lacks(identity: Identity) -> None:
    """A name of a kind that the user has none of is another's."""
    user = await identity.create(username=USERNAME)
    for name in (EMAIL, PHONE, "None", "none"):
        assert not (await identity.callers["token"].call(GetUser(user_id=user.id, name=name))).named


async def test_created_at_once(identity: Identity) -> None:
    """Of several who create the same user at the same time one succeeds, the others hear of the conflict."""
    outcomes = await asyncio.gather(*(outcome(identity.create()) for _ in range(6)))
    assert sorted(outcomes) == ["conflict"] * 5 + ["ok"]
    # The change and its event commit together, or not at all.
    assert await identity.told() == ["identity.user_created.v1"]
    assert await identity.platform.database.fetchval("SELECT count(*) FROM identity.users") == 1


@pytest.mark.parametrize("given", [{"email": "nobody"}, {"phone": "12"}, {"username": "12-34-56"}, {"email": ""}])
async def test_refused(identity: Identity, given: dict[str, str]) -> None:
    """A user without an identifier, or with one that cannot be used, is refused before a password is kept."""
    assert await outcome(identity.create(**given)) == "invalid_request"
    assert await outcome(identity.create(password=PASSWORD, password_hash="plain:x")) == "invalid_request"
    assert identity.platform.password.kept == {}


async def test_weak_password(identity: Identity) -> None:
    """With a weak password no user is created, unless the operator said to take it."""
    assert await outcome(identity.create(password="short")) == "weak_password"
    assert await identity.told() == []
    await identity.create(password="short", enforce_policy=False)
    assert (await identity.authenticate(EMAIL, "short")).user.email == EMAIL


async def test_hash_from_elsewhere(identity: Identity) -> None:
    """A user may come with a hash that was made elsewhere."""
    user = await identity.create(password_hash="plain:secret")
    assert (await identity.authenticate(USERNAME, "secret")).user.id == user.id


@pytest.mark.parametrize(
    ("password_tells", "told"), [(True, []), (False, ["identity.password_changed.v1"])], ids=["now", "before"]
)
async def test_replaced(identity: Identity, password_tells: bool, told: list[str]) -> None:
    """Replacing keeps the user's id and changes the rest; the new password is told of once, by whoever knows of it."""
    identity.platform.password.tells = password_tells
    user = await identity.create()
    identity.platform.clock.advance(5)
    replaced = await identity.create(email=EMAIL, username="renamed", password=NEW_PASSWORD, replace=True)
    assert (replaced.id, replaced.phone, replaced.username) == (user.id, None, "renamed")
    assert replaced.created_at == user.created_at
    assert await identity.told() == ["identity.user_created.v1", *told]
    assert await outcome(identity.authenticate(EMAIL, PASSWORD)) == "wrong_password"
    assert await outcome(identity.authenticate(PHONE, NEW_PASSWORD)) == "no_such_user"


async def test_password_changes_when_it_is_set(identity: Identity) -> None:
    """Who signs in with the old password while the new one is being set is counted as before the change."""
    clock = identity.platform.clock
    identity.platform.password.tells = False
    await identity.create()
    identity.platform.password.before_set = lambda: clock.advance(0.5)
    begun = clock.now()
    await identity.create(password=NEW_PASSWORD, replace=True)
    body = await identity.platform.database.fetchval("SELECT body FROM identity.outbox ORDER BY position DESC LIMIT 1")
    assert json.loads(body)["changed_at"] == clock.now().isoformat().replace("+00:00", "Z")
    assert clock.now() > begun


async def test_replacing_into_a_conflict(identity: Identity) -> None:
    """Replacing a user with an identifier of somebody else changes neither of them, nor a password."""
    user = await identity.create()
    other = await identity.create(email="other@example.com")
    with pytest.raises(Error) as caught:
        await identity.create(email="other@example.com", username=USERNAME, password=NEW_PASSWORD, replace=True)
    assert (caught.value.code, caught.value.detail) == (ErrorCode.CONFLICT, {"field": "username"})
    assert identity.platform.password.kept == {user.id: PASSWORD, other.id: PASSWORD}
    assert (await identity.authenticate("other@example.com")).user == other
    assert await identity.told() == ["identity.user_created.v1"] * 2


@pytest.mark.parametrize("identifier", [EMAIL.upper(), "0151 12345678", USERNAME.title(), "id"])
async def test_suspended(identity: Identity, identifier: str) -> None:
    """A user is suspended by any of their names; doing it again changes and tells nothing."""
    user = await identity.create()
    name = str(user.id) if identifier == "id" else identifier
    assert (await identity.suspend(name)).state == "suspended"
    assert (await identity.suspend(name)).state == "suspended"
    assert await identity.told() == ["identity.user_created.v1", "identity.user_suspended.v1"]


@pytest.mark.parametrize(
    "identifier", ["", "nobody", "nobody@example.com", "5fe01739-fe5a-4fb1-9711-aa04ac91dfde", "a\0b", "x" * 10_000]
)
async def test_suspending_nobody(identity: Identity, identifier: str) -> None:
    """Suspending somebody who does not exist is `not_found`."""
    assert await outcome(identity.suspend(identifier)) == "not_found"


async def test_suspended_at_once(identity: Identity) -> None:
    """Several operators who suspend the same user at the same time make one event."""
    await identity.create()
    await asyncio.gather(*(identity.suspend(EMAIL) for _ in range(6)))
    assert (await identity.told()).count("identity.user_suspended.v1") == 1


async def test_list_by_pages(identity: Identity) -> None:
    """Pages of any size lead through all users once, in the order in which they came, twins of a moment too."""
    created = []
    for n in range(7):
        created.append((await identity.create(username=f"user{n}")).id)
        identity.platform.clock.advance(n % 2)
    orders = []
    for limit in (1, 3, 7, 100):
        found: list[UUID] = []
        after = None
        while True:
            page = await identity.callers["operator"].call(ListUsers(after=after, limit=limit))
            assert len(page.users) <= limit
            found += [user.id for user in page.users]
            after = page.next
            if after is None:
                break
        orders.append(found)
    # The first and second came at one moment, and so on: which of them is first does not matter, but never changes.
    assert all(order == orders[0] for order in orders)
    assert [set(orders[0][n : n + 2]) for n in (0, 2, 4)] == [set(created[n : n + 2]) for n in (0, 2, 4)]


@pytest.mark.parametrize("limit", [-1, 0, 10**12])
async def test_absurd_limits(identity: Identity, limit: int) -> None:
    """A limit out of bounds is taken for the nearest one that can be served."""
    await identity.create()
    page = await identity.callers["operator"].call(ListUsers(limit=limit))
    assert len(page.users) == 1


async def test_page_after_nobody(identity: Identity) -> None:
    """A page after a user who does not exist is empty and the last."""
    await identity.create()
    page = await identity.callers["operator"].call(ListUsers(after=uuid4()))
    assert (page.users, page.next) == ([], None)


async def test_no_password_reaches_the_database(platform: Platform) -> None:
    """What identity keeps and tells holds no password."""
    async with platform.running() as identity:
        await identity.create()
        await identity.create(password=NEW_PASSWORD, replace=True)
    for table in ("users", "outbox"):
        for row in await platform.database.fetch(f"SELECT t::text AS row FROM identity.{table} t"):
            assert PASSWORD not in row["row"]
            assert PASSWORD.encode().hex() not in row["row"]
