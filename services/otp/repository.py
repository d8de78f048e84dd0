"""What `otp` keeps: live codes in Redis, deliveries in PostgreSQL. Times come from the caller, never from a server."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

from shared.bus.outbox import Outbox
from shared.contracts.otp import DeliveryRequested
from shared.errors import unavailable
from shared.postgres import Database
from shared.redis_scripts import RedisScripts

Outcome = Literal["accepted", "wrong_code", "code_expired", "too_many_attempts"]
Finished = Literal["sent", "failed", "expired", "superseded"]

_TOMBSTONE = timedelta(minutes=10)
"""How long after its end a code is still told from one that never was."""

_KEEP_DELIVERIES = timedelta(days=7)
"""Longer than any event can wait for its last attempt, so that no repeat comes after it was forgotten."""

_PURGE_BATCH = 1000

_ISSUE = """
local now, expires, resend, keep_for = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4]
local id, proof, decoy, most, sms, not_before = ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8]), ARGV[9], ARGV[10]
local old = redis.call('HMGET', KEYS[1], 'id', 'made', 'expires', 'attempts', 'decoy')
local lives = old[1] and now < tonumber(old[3]) and tonumber(old[4]) < most and tonumber(old[2]) >= tonumber(not_before)
if lives and now < old[2] + resend and old[5] == decoy then
    if id ~= '' and sms ~= '' then redis.call('HSET', KEYS[1], 'sms', sms) end
    return {old[1], old[3]}
end
if id == '' then return {'', 0} end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1],
    'id', id, 'made', ARGV[1], 'expires', expires, 'attempts', 0, 'proof', proof, 'decoy', decoy, 'sms', sms)
redis.call('PEXPIRE', KEYS[1], keep_for)
return {id, expires}
"""

# What an accepted attempt leaves behind: its answer may be lost on the way, and the client then asks once more.
_ACCEPT = """
local function accept(key, attempt, sms)
    redis.call('DEL', key)
    redis.call('HSET', key, 'accepted', attempt, 'sms', sms)
    redis.call('PEXPIRE', key, 5000)
end
"""

_CHECK = f"""
{_ACCEPT}
local now, proof, most, window = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local not_before, attempt, spend, attempts = tonumber(ARGV[5]), ARGV[6], ARGV[7] == '1', ARGV[8]
local code = redis.call('HMGET', KEYS[1], 'expires', attempts, 'proof', 'decoy', 'sms', 'made', 'accepted')
if code[7] == attempt then return {{'accepted', 0, code[5]}} end
if not code[1] then return {{'wrong_code', 0}} end
if now >= tonumber(code[1]) then return {{'code_expired', 0}} end
local oldest = redis.call('LINDEX', KEYS[2], 0)
while oldest and oldest + window <= now do
    redis.call('LPOP', KEYS[2])
    oldest = redis.call('LINDEX', KEYS[2], 0)
end
if redis.call('LLEN', KEYS[2]) >= most then
    redis.call('HSET', KEYS[1], attempts, most)
    return {{'too_many_attempts', oldest + window - now}}
end
if tonumber(code[2] or 0) >= most then return {{'too_many_attempts', 0}} end
redis.call('HINCRBY', KEYS[1], attempts, 1)
redis.call('RPUSH', KEYS[2], ARGV[1])
redis.call('PEXPIRE', KEYS[2], window)
if code[4] == '0' and code[3] == proof and tonumber(code[6]) >= not_before then
    redis.call('RPOP', KEYS[2])
    if not spend then
        redis.call('HINCRBY', KEYS[1], attempts, -1)
        return {{'accepted', 0, ''}}
    end
    accept(KEYS[1], attempt, code[5] or '')
    return {{'accepted', 0, code[5] or ''}}
end
return {{'wrong_code', 0}}
"""

_CHECK_UNCOUNTED = f"""
{_ACCEPT}
local now, proof, not_before, attempt, spend = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5] == '1'
local code = redis.call('HMGET', KEYS[1], 'expires', 'proof', 'decoy', 'made', 'accepted')
if code[5] == attempt then return 'accepted' end
if not code[1] then return 'wrong_code' end
if now >= tonumber(code[1]) then return 'code_expired' end
if code[3] ~= '0' or code[2] ~= proof or tonumber(code[4]) < not_before then return 'wrong_code' end
if spend then accept(KEYS[1], attempt, '') end
return 'accepted'
"""

_REPEATED = (
    "SELECT EXISTS (SELECT FROM otp.deliveries "
    "WHERE code_id = $1 AND target = $2 AND state <> 'failed' AND requested_at > $3)"
)


@dataclass(frozen=True, slots=True)
class NewCode:
    """A code to be, unless an earlier one is still to be sent again; a decoy is never accepted."""

    id: UUID
    proof: str
    decoy: bool
    made_at: datetime
    ttl: timedelta


@dataclass(frozen=True, slots=True)
class LiveCode:
    """The code that counts now."""

    id: UUID
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SentSms:
    """A text message, as it is counted: by its country calling code and the time it was asked for."""

    prefix: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Attempt:
    """A code that somebody shows, blinded, at a time; `id` tells the same attempt, sent again, from another one.

    A code made before `not_before` does not count. `source` is the blinded name of a network that the account knows.
    Without `spend` a right code stays what it was.
    """

    id: UUID
    proof: str
    at: datetime
    not_before: datetime | None = None
    source: str | None = None
    spend: bool = True


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of an attempt; `wait` is how long the account's next one would be refused, where that is known.

    `sms` is the last text message that brought the accepted code, None when none did.
    """

    outcome: Outcome
    wait: timedelta
    sms: SentSms | None


class CodeRecords:
    """One live code per account and purpose, and the attempts of each account, whatever they were for.

    Each decision is one script, so that any number of requests at once count one after the other.
    """

    def __init__(self, scripts: RedisScripts, prefix: str, max_attempts: int) -> None:
        """`max_attempts` holds for a code, and for an account within the window given to `check`."""
        self._prefix = prefix
        self._max_attempts = max_attempts
        self._issue = scripts.register(_ISSUE)
        self._check = scripts.register(_CHECK)
        self._check_uncounted = scripts.register(_CHECK_UNCOUNTED)

    async def issue(
        self,
        account: str,
        purpose: str,
        new: NewCode,
        resend: timedelta,
        *,
        not_before: datetime | None = None,
        sms: SentSms | None = None,
    ) -> LiveCode:
        """The account's live code when it was made less than `resend` ago and can still be used, else the new one.

        `account` is a blinded name; `sms` is the message that brings the code, if it is one. A code made before
        `not_before` can't be used. A real code never takes the place of a decoy by being asked for again, nor the other
        way round. Raises `unavailable`.
        """
        expires = _milliseconds(new.made_at + new.ttl)
        code_id, expires = await self._issue(
            keys=[self._code_key(account, purpose)],
            args=[
                _milliseconds(new.made_at),
                expires,
                resend // timedelta(milliseconds=1),
                (new.ttl + _TOMBSTONE) // timedelta(milliseconds=1),
                str(new.id),
                new.proof,
                int(new.decoy),
                self._max_attempts,
                f"{sms.prefix} {_milliseconds(sms.at)}" if sms is not None else "",
                _milliseconds(not_before),
            ],
        )
        return LiveCode(UUID(code_id.decode()), datetime.fromtimestamp(int(expires) / 1000, UTC))

    async def resent(
        self,
        account: str,
        purpose: str,
        now: datetime,
        resend: timedelta,
        *,
        decoy: bool,
        not_before: datetime | None = None,
    ) -> UUID | None:
        """The code that `issue` would not make anew; None when it would. Changes nothing. Raises `unavailable`."""
        waiting = resend // timedelta(milliseconds=1)
        code_id, _ = await self._issue(
            keys=[self._code_key(account, purpose)],
            args=[
                *(_milliseconds(now), "", waiting, "", "", "", int(decoy), self._max_attempts, ""),
                _milliseconds(not_before),
            ],
        )
        return UUID(code_id.decode()) if code_id else None

    async def check(self, account: str, purpose: str, attempt: Attempt, window: timedelta) -> Checked:
        """Count an attempt, compare, and spend the code when it is right; its attempt is then given back.

        An attempt that cannot succeed, for want of a live code, is not counted. One at a code that is too old is, like
        any wrong one. Each known source has as many attempts as all other sources together. Raises `unavailable`.
        """
        counter, attempts = f"{self._prefix}otp:{{{account}}}:attempts", "attempts"
        if attempt.source is not None:
            counter, attempts = f"{counter}:{attempt.source}", f"attempts:{attempt.source}"
        outcome, wait, *sms = await self._check(
            keys=[self._code_key(account, purpose), counter],
            args=[
                *(_milliseconds(attempt.at), attempt.proof, self._max_attempts, window // timedelta(milliseconds=1)),
                *(_milliseconds(attempt.not_before), str(attempt.id), int(attempt.spend), attempts),
            ],
        )
        return Checked(outcome.decode(), timedelta(milliseconds=wait), _sms(sms[0].decode()) if sms else None)

    async def check_uncounted(self, account: str, purpose: str, attempt: Attempt) -> Outcome:
        """Compare, and spend the code when it is right: only for codes that nobody can guess. Raises `unavailable`."""
        outcome = await self._check_uncounted(
            keys=[self._code_key(account, purpose)],
            args=[
                *(_milliseconds(attempt.at), attempt.proof, _milliseconds(attempt.not_before)),
                *(str(attempt.id), int(attempt.spend)),
            ],
        )
        checked: Outcome = outcome.decode()
        return checked

    def _code_key(self, account: str, purpose: str) -> str:
        # The braces keep both keys of an account on one node of a Redis Cluster.
        return f"{self._prefix}otp:{{{account}}}:code:{purpose}"


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to deliver, for a while; `superseded` says that a newer code is on its way to the same address."""

    requested_at: datetime
    superseded: bool


class Deliveries:
    """What was asked to be sent, and what came of it."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def request(
        self,
        event: DeliveryRequested,
        target: bytes,
        *,
        withheld: bool,
        now: datetime,
        repeat: timedelta,
        spend: Callable[[], Awaitable[None]] | None = None,
    ) -> bool:
        """Ask for a delivery, unless one of this code to this target was asked for less than `repeat` ago.

        One that has failed does not count as asked for. `withheld` asks in the same way for what is never sent.
        `spend` is awaited right before, and by raising keeps it from being asked for.
        Returns whether it was asked for; raises `unavailable`.
        """
        async with self._database.transaction() as connection:
            # Requests for one code come one after the other; hash collisions only make strangers wait for each other.
            await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", str(event.code_id))
            if await connection.fetchval(_REPEATED, event.code_id, target, now - repeat):
                return False
            if spend is not None:
                await spend()
            event_id = await self._outbox.add(connection, event)
            await connection.execute(
                "INSERT INTO otp.deliveries (event_id, code_id, channel, target, state, requested_at) "
                "VALUES ($1, $2, $3, $4, $5, $6)",
                event_id,
                event.code_id,
                event.channel,
                target,
                "withheld" if withheld else "requested",
                now,
            )
            return True

    async def is_repeat(self, code_id: UUID, target: bytes, now: datetime, repeat: timedelta) -> bool:
        """Whether `request` would ask for nothing. Raises `unavailable`."""
        row = await self._database.fetchrow(_REPEATED, code_id, target, now - repeat)
        return row is not None and bool(row[0])

    async def claim(self, event_id: UUID, now: datetime, until: datetime) -> Claim | None:
        """Take the delivery for oneself; None when there is nothing to send (any more).

        Raises `unavailable` while somebody else has it: whether they succeed is not known yet.
        """
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(
                "SELECT state, claimed_until, requested_at, EXISTS (SELECT FROM otp.deliveries AS newer "
                "WHERE newer.target = deliveries.target AND newer.code_id <> deliveries.code_id "
                "AND newer.requested_at > deliveries.requested_at) AS superseded "
                "FROM otp.deliveries WHERE event_id = $1 FOR UPDATE",
                event_id,
            )
            if row is None or row["state"] != "requested":
                return None
            if row["claimed_until"] is not None and row["claimed_until"] > now:
                raise unavailable("another delivery of this event is being worked on")
            await connection.execute(
                "UPDATE otp.deliveries SET attempts = attempts + 1, claimed_until = $2 WHERE event_id = $1",
                event_id,
                until,
            )
        return Claim(row["requested_at"], row["superseded"])

    async def release(self, event_id: UUID, detail: str) -> None:
        """Give the claim back after an attempt that failed for now."""
        await self._database.execute(
            "UPDATE otp.deliveries SET claimed_until = NULL, detail = $2 WHERE event_id = $1", event_id, detail
        )

    async def finish(self, event_id: UUID, state: Finished, detail: str, now: datetime) -> None:
        """Say what came of the delivery, for good."""
        await self._database.execute(
            "UPDATE otp.deliveries SET state = $2, detail = $3, finished_at = $4, claimed_until = NULL "
            "WHERE event_id = $1",
            event_id,
            state,
            detail,
            now,
        )

    async def forget_old(self, now: datetime) -> None:
        """Remove deliveries that no repeat can ask for any more, a batch at a time."""
        removed = _PURGE_BATCH
        while removed == _PURGE_BATCH:
            rows = await self._database.fetch(
                "DELETE FROM otp.deliveries WHERE event_id IN (SELECT event_id FROM otp.deliveries "
                "WHERE requested_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING 1",
                now - _KEEP_DELIVERIES,
                _PURGE_BATCH,
            )
            removed = len(rows)


def _sms(text: str) -> SentSms | None:
    prefix, _, milliseconds = text.partition(" ")
    return SentSms(prefix, datetime.fromtimestamp(int(milliseconds) / 1000, UTC)) if prefix else None


def _milliseconds(moment: datetime | None) -> int:
    """Since 1970; 0 for a time that is not given."""
    return 0 if moment is None else (moment - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)
