"""Who hears when a password was replaced, and when nobody has to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from uuid import UUID, uuid4  # noqa: TID251 - tests need fresh ids only

import asyncpg
import pytest

from shared.bus.bus import Bus
from shared.bus.dispatch import Delivery
from shared.bus.frames import EventFrame
from shared.bus.memory import MemoryBroker, MemoryBus
from shared.contracts.identity import UserDeleted
from shared.contracts.password import PasswordChanged, PasswordSet
from shared.errors import Error, ErrorCode
from shared.telemetry import Telemetry
from shared.testing import FakeClock
from tests.integration.password.conftest import Open, import_hash, set_password, stored_hash, verify
from tests.unit.password.foreign_hashes import HASHES
from tests.unit.password.foreign_hashes import PASSWORD as FOREIGN_PASSWORD

DEADLINE_SECONDS = 20.0
HAS_HASH = "SELECT EXISTS (SELECT FROM password.passwords WHERE user_id = $1)"
FIRST, SECOND = "a sentence nobody else would choose", "another sentence altogether"

Give = Callable[[Bus, UUID], Awaitable[PasswordSet]]


class Token:
    """`token`, as far as it hears of changed passwords."""

    def __init__(self) -> None:
        self.heard: list[PasswordChanged] = []

    async def hear(self, event: PasswordChanged, delivery: Delivery) -> None:
        """Remember it."""
        del delivery
        self.heard.append(event)


@pytest.fixture
async def token(broker: MemoryBroker, clock: FakeClock) -> AsyncIterator[Token]:
    """The one that ends sessions, listening."""
    token = Token()
    bus = MemoryBus(broker, "token", Telemetry("token"), clock)
    bus.subscribe({PasswordChanged: token.hear})
    async with bus:
        yield token


async def _set(bus: Bus, user: UUID) -> PasswordSet:
    return await set_password(bus, user, SECOND)


async def _import(bus: Bus, user: UUID) -> PasswordSet:
    return await import_hash(bus, user, HASHES["bcrypt 2b"])


async def _all_told(database: asyncpg.Connection) -> None:
    """Return once nothing waits in the outbox any more."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await database.fetchval("SELECT count(*) FROM password.outbox"):  # noqa: ASYNC110 - a row's end fires none
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("before", [_set, _import])
@pytest.mark.parametrize("after", [_set, _import])
async def test_a_replaced_password_is_told(
    open_service: Open, database: asyncpg.Connection, token: Token, clock: FakeClock, before: Give, after: Give
) -> None:
    """However the old and the new one came, sessions end when one takes the other's place; the first is no change."""
    user = uuid4()
    async with open_service() as bus:
        assert (await before(bus, user)).changed_at == clock.now()
        clock.advance(60)
        changed = await after(bus, user)
        assert changed.changed_at == clock.now()
        await _all_told(database)
    assert token.heard == [PasswordChanged(user_id=user, changed_at=clock.now())]


async def test_a_repeated_call_is_told_again(open_service: Open, database: asyncpg.Connection, token: Token) -> None:
    """Who lost the answer and sets the same password once more gets the same result; sessions may end twice."""
    user = uuid4()
    async with open_service() as bus:
        for _ in range(3):
            await set_password(bus, user, FIRST)
        assert await verify(bus, user, FIRST)
        await _all_told(database)
    assert [event.user_id for event in token.heard] == [user, user]


async def test_what_changes_no_password_is_not_told(
    open_service: Open, database: asyncpg.Connection, token: Token
) -> None:
    """Sessions survive a sign-in that makes the hash stronger, and a new password that is refused."""
    user = uuid4()
    async with open_service() as bus:
        await import_hash(bus, user, HASHES["django pbkdf2_sha256"])
        assert await verify(bus, user, FOREIGN_PASSWORD)
    assert (await stored_hash(database, user)).startswith("$argon2id$")
    async with open_service() as bus:
        with suppress(Error):
            await set_password(bus, user, "weak")
        with suppress(Error):
            await import_hash(bus, user, "md5$whatever")
        assert await verify(bus, user, FOREIGN_PASSWORD)
        await _all_told(database)
    assert not token.heard


async def test_of_passwords_that_come_at_once_all_but_the_first_are_told(
    open_service: Open, database: asyncpg.Connection, token: Token
) -> None:
    """Eight first passwords at once, on two replicas, are one first password and seven changes."""
    users = [uuid4() for _ in range(5)]
    async with open_service() as one, open_service() as two:
        await asyncio.gather(*(_import(bus, user) for user in users for bus in (one, two) for _ in range(4)))
        await _all_told(database)
    assert sorted(event.user_id for event in token.heard) == sorted(user for user in users for _ in range(7))


async def test_a_password_that_had_to_wait_counts_since_it_was_its_turn(
    open_service: Open, database: asyncpg.Connection, token: Token, clock: FakeClock
) -> None:
    """Sessions that the earlier of two changes began meanwhile end too: the later one is later by the clock as well."""
    user = uuid4()
    async with open_service() as bus:
        await set_password(bus, user, FIRST)
        async with database.transaction():
            await database.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", str(user))
            waiting = asyncio.create_task(_import(bus, user))
            await _somebody_waits(database)
            clock.advance(2)
        assert (await waiting).changed_at == clock.now()
        await _all_told(database)
    assert [event.changed_at for event in token.heard] == [clock.now()]


async def _somebody_waits(database: asyncpg.Connection) -> None:
    waiting = (
        "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database "
        "WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted)"
    )
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await database.fetchval(waiting):  # noqa: ASYNC110 - nor does a lock that is waited for
            await asyncio.sleep(0.01)


async def test_what_cannot_be_told_is_not_changed(open_service: Open, database: asyncpg.Connection) -> None:
    """Before the migration users get a first password, and a change is refused rather than kept from `token`."""
    user = uuid4()
    async with _without_outbox(database), open_service() as bus:
        await set_password(bus, user, FIRST)
        with pytest.raises(Error) as refused:
            await set_password(bus, user, SECOND)
        assert refused.value.code == ErrorCode.UNAVAILABLE
        assert await verify(bus, user, FIRST)
    async with open_service() as bus:
        await set_password(bus, user, SECOND)
        assert await verify(bus, user, SECOND)


@asynccontextmanager
async def _without_outbox(database: asyncpg.Connection) -> AsyncIterator[None]:
    """The schema as it was before this table came."""
    await database.execute("ALTER TABLE password.outbox RENAME TO outbox_to_be")
    try:
        yield
    finally:
        await database.execute("ALTER TABLE password.outbox_to_be RENAME TO outbox")


async def test_nothing_is_kept_of_a_deleted_user(
    open_service: Open, broker: MemoryBroker, clock: FakeClock, database: asyncpg.Connection
) -> None:
    """The hash goes when its user does, that of everybody else stays, and a repeat does no harm."""
    gone, stays = uuid4(), uuid4()
    async with open_service() as identity:
        for user in (gone, stays):
            await set_password(identity, user)
        event = UserDeleted(user_id=gone, deleted_at=clock.now())
        frame = EventFrame(uuid4(), event.subject, event.model_dump_json().encode(), "test")
        for _ in range(2):
            broker.hand_over("password", frame)
        async with asyncio.timeout(DEADLINE_SECONDS):
            while await database.fetchval(HAS_HASH, gone):  # noqa: ASYNC110 - a row's end fires none
                await asyncio.sleep(0.01)
        assert not await verify(identity, gone, FIRST)
        assert await verify(identity, stays, FIRST)
