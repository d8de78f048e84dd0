"""SMS counted in Redis, shared by all replicas. Times come from the caller, never from the server."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, cast

from redis.asyncio import Redis

from services.otp.repository import SentSms
from shared.redis import faults_told
from shared.redis_scripts import RedisScripts

Reason = Literal["daily_limit", "prefix_limit", "unverified"]

_SLOTS = 60
_KEEP_DAY = timedelta(days=2)
_MILLISECOND = timedelta(milliseconds=1)

# KEYS: the day's counts by calling code, and those of one calling code's window by when the message was sent.
_ADMIT = """
local now, count, prefix, slot = tonumber(ARGV[1]), ARGV[2] == '1', ARGV[3], ARGV[4]
local limit, prefix_limit, day_left, keep_day = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]
local ratio, least, window, length = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local function sent_today(what) return tonumber(redis.call('HGET', KEYS[1], 'sent:' .. what) or 0) end
local function stopped(reason, what, wait)
    local first = redis.call('HSETNX', KEYS[1], 'told:' .. reason .. ':' .. what, 1)
    redis.call('PEXPIRE', KEYS[1], keep_day)
    return {reason, wait, first}
end
if limit > 0 and sent_today('all') >= limit then return stopped('daily_limit', 'all', day_left) end
if prefix_limit > 0 and sent_today(prefix) >= prefix_limit then return stopped('prefix_limit', prefix, day_left) end
local fields, sent, used, starts = redis.call('HGETALL', KEYS[2]), {}, {}, {}
local all_sent, all_used = 0, 0
for i = 1, #fields, 2 do
    local what, start, number = fields[i]:sub(1, 4), tonumber(fields[i]:sub(6)), tonumber(fields[i + 1])
    if start + length + window <= now then
        redis.call('HDEL', KEYS[2], fields[i])
    elseif what == 'sent' then
        sent[start], all_sent = number, all_sent + number
        starts[#starts + 1] = start
    else
        used[start], all_used = number, all_used + number
    end
end
local function too_few() return all_sent >= least and all_used / all_sent < ratio end
if too_few() then
    local wait = 0
    table.sort(starts)
    for _, start in ipairs(starts) do
        if not too_few() then break end
        wait = start + length + window - now
        all_sent, all_used = all_sent - sent[start], all_used - (used[start] or 0)
    end
    return stopped('unverified', prefix, wait)
end
if not count then return {'', 0, 0} end
redis.call('HINCRBY', KEYS[1], 'sent:all', 1)
redis.call('HINCRBY', KEYS[1], 'sent:' .. prefix, 1)
redis.call('PEXPIRE', KEYS[1], keep_day)
redis.call('HINCRBY', KEYS[2], 'sent:' .. slot, 1)
redis.call('PEXPIRE', KEYS[2], window + 2 * length)
return {'', 0, 0}
"""

# KEYS: as above, of the day and the slot in which the message was sent.
_USE = """
redis.call('HINCRBY', KEYS[1], 'used:' .. ARGV[1], 1)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('HINCRBY', KEYS[2], 'used:' .. ARGV[2], 1)
redis.call('PEXPIRE', KEYS[2], ARGV[4])
"""


@dataclass(frozen=True, slots=True)
class SmsLimits:
    """What holds for one calling code; 0 turns a limit or the ratio off.

    `ratio` is the least part of the messages of the last `window` that must have been used, once there are
    `ratio_min_sent` of them.
    """

    daily: int
    prefix_daily: int
    ratio: float
    ratio_min_sent: int
    window: timedelta


@dataclass(frozen=True, slots=True)
class Stop:
    """Why no SMS may be sent, and for how long; `first` on the first time of its day."""

    reason: Reason
    wait: timedelta
    first: bool


@dataclass(frozen=True, slots=True)
class Today:
    """What a calling code had today: messages sent, and how many of them were used."""

    sent: int = 0
    used: int = 0


class SmsCounts:
    """Messages and their use, by day and by window. Each decision is one script, so that no limit is ever passed."""

    def __init__(self, redis: Redis, scripts: RedisScripts, prefix: str) -> None:
        self._redis = redis
        # The braces keep all keys of a script on one node of a Redis Cluster.
        self._keys = f"{prefix}otp:{{sms}}"
        self._admit = scripts.register(_ADMIT)
        self._use = scripts.register(_USE)

    async def admit(self, sms: SentSms, limits: SmsLimits, *, count: bool) -> Stop | None:
        """Whether a message may be sent, and if so count it, or not: None when it may. Raises `unavailable`."""
        reason, wait, first = await self._admit(
            keys=self._both(sms),
            args=[
                _milliseconds(sms.at),
                int(count),
                sms.prefix,
                self._slot(sms.at, limits.window),
                limits.daily,
                limits.prefix_daily,
                _day_left(sms.at) // _MILLISECOND,
                _KEEP_DAY // _MILLISECOND,
                limits.ratio,
                limits.ratio_min_sent,
                limits.window // _MILLISECOND,
                limits.window // _SLOTS // _MILLISECOND,
            ],
        )
        return Stop(reason.decode(), timedelta(milliseconds=wait), bool(first)) if reason else None

    async def use(self, sms: SentSms, window: timedelta) -> None:
        """Note that the code of a message was used. Raises `unavailable`."""
        length = window // _SLOTS
        await self._use(
            keys=self._both(sms),
            args=[
                sms.prefix,
                self._slot(sms.at, window),
                _KEEP_DAY // _MILLISECOND,
                (window + 2 * length) // _MILLISECOND,
            ],
        )

    async def today(self, now: datetime) -> Mapping[str, Today]:
        """The day's counts of each calling code. Raises `unavailable`."""
        async with faults_told():
            fields = cast("dict[bytes, bytes]", await self._redis.hgetall(self._day_key(now)))
        counts = {name.decode(): int(number) for name, number in fields.items()}
        prefixes = {name.partition(":")[2] for name in counts if name.startswith(("sent:+", "used:+"))}
        return {prefix: Today(counts.get(f"sent:{prefix}", 0), counts.get(f"used:{prefix}", 0)) for prefix in prefixes}

    def _both(self, sms: SentSms) -> list[str]:
        return [self._day_key(sms.at), f"{self._keys}:window:{sms.prefix}"]

    def _day_key(self, moment: datetime) -> str:
        return f"{self._keys}:day:{moment.astimezone(UTC):%Y-%m-%d}"

    @staticmethod
    def _slot(moment: datetime, window: timedelta) -> int:
        """The beginning of the part of the window, a sixtieth of it, that a message is counted in."""
        now = _milliseconds(moment)
        return now - now % (window // _SLOTS // _MILLISECOND)


def _day_left(moment: datetime) -> timedelta:
    midnight = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + timedelta(days=1) - moment


def _milliseconds(moment: datetime) -> int:
    return (moment - datetime.fromtimestamp(0, UTC)) // _MILLISECOND
