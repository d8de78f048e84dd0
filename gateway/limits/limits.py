"""The limits as handlers use them."""

import hashlib
import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from aiohttp import web

from gateway.addresses import Addresses
from gateway.limits.redis_windows import RedisWindows
from gateway.limits.rules import Rule, parse
from gateway.limits.windows import Counted, LocalWindows, Window
from shared.clock import Clock
from shared.errors import Error, ErrorCode, unavailable
from shared.identifiers import LONGEST, identifier
from shared.telemetry import Telemetry

LIMIT_HEADERS = web.RequestKey("limit_headers", Mapping[str, str])
"""What the answer to a counted request says of its limits (draft-ietf-httpapi-ratelimit-headers)."""

_REFRESH_TOKEN_LENGTH = 71
_SESSION_LENGTH = 22

_Decided = Mapping[str, tuple[Counted, Window]]


class Limits:
    """Counts requests by path and account, address, or both, and refuses those that are too many.

    Where no Redis is configured each process counts by itself.
    """

    def __init__(
        self,
        text: str,
        windows: RedisWindows | None,
        addresses: Addresses,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        """`text` is that of the setting. Raises ValueError as `rules.parse` does."""
        self._rules: Mapping[str, Rule] = parse(text)
        self._windows = windows
        self._local = LocalWindows()
        self._addresses = addresses
        self._clock = clock
        self._telemetry = telemetry
        self._away = False
        self._region: str | None = None

    def replace(self, text: str) -> None:
        """Have other limits from now on; what was counted stays. Raises ValueError, and changes nothing."""
        self._rules = parse(text)

    def read_numbers(self, default_region: str) -> None:
        """Take phone numbers without a country code for ones of this country from now on, as `identity` does."""
        self._region = default_region

    async def count(self, request: web.Request, *, account: str | None = None) -> None:
        """Count a request to one of the limited paths; `account` is what it is about, in the client's own words.

        Names count in the form in which `identity` knows them, however they are written. A request that is refused is
        counted nowhere, so that nobody is blocked for longer by trying. One whose address cannot be determined is
        counted for its account alone: there is no bucket that strangers share.

        Raises `rate_limited` with `retry_after`, and `detail` of `limit` (requests) and `reset` (RFC 3339);
        `unavailable` where Redis is away and the path's rule is to refuse then.
        """
        resource = request.match_info.route.resource
        path = resource.canonical if resource is not None else ""
        rule = self._rules.get(path, Rule())
        counted = self._counted(path, rule, account, self._addresses.source(request))
        if not counted:
            self._note(path, "allowed", "none")
            return
        decided, by = await self._decide(path, rule, counted)
        request[LIMIT_HEADERS] = _headers(decided)
        refusing = [(window, one) for one, window in decided.values() if window.outcome != "allowed"]
        if not refusing:
            self._note(path, "allowed", by)
            return
        window, one = max(refusing, key=lambda pair: pair[0].wait)
        self._note(path, "blocked" if any(found.outcome == "blocked" for found, _ in refusing) else "limited", by)
        raise Error(
            ErrorCode.RATE_LIMITED,
            "too many requests to this path",
            retry_after=window.wait.total_seconds(),
            detail={"limit": one.quota.requests, "reset": rfc_3339(self._clock.now() + window.wait)},
        )

    def _counted(self, path: str, rule: Rule, account: str | None, source: str | None) -> dict[str, Counted]:
        """What a request is counted for; an account at an address that is not known has one share for all of these."""
        quotas = rule.quotas()
        names = {"address": source}
        # Most sign-ins are counted by address alone, and need no name read.
        if account is not None and quotas.keys() & {"account", "account_at_address"}:
            names["account"] = self._about(account)
            names["account_at_address"] = f"{source or 'unknown'} {names['account']}"
        return {
            name: Counted(_name(path, name, text), quota, rule.block)
            for name, quota in quotas.items()
            if (text := names.get(name)) is not None
        }

    def _about(self, account: str) -> str:
        """The account, however it is written. What names nobody, such as a token, is folded alone."""
        found = identifier(account, self._region)
        if found is not None:
            return found.value
        # Nobody's name is so long, and to fold it may take a second.
        return account if len(account) > LONGEST else unicodedata.normalize("NFKC", account).casefold().strip()

    async def _decide(self, path: str, rule: Rule, counted: dict[str, Counted]) -> tuple[_Decided, str]:
        """What was counted with its windows, nothing where nobody counts; and who counted."""
        now = self._clock.now()
        if self._windows is None:
            return _paired(counted, self._local.decide([*counted.values()], now)), "bucket"
        try:
            windows = await self._windows.decide([*counted.values()], now)
        except Error as error:
            if error.code != ErrorCode.UNAVAILABLE:
                raise
            self._tell(away=True)
        else:
            self._tell(away=False)
            return _paired(counted, windows), "redis"
        if rule.away == "refuse":
            self._note(path, "refused", "none")
            raise unavailable("requests cannot be counted, and this path takes none uncounted")
        if rule.away == "pass":
            return {}, "none"
        halved = {name: replace(one, quota=one.quota.halved()) for name, one in counted.items()}
        return _paired(halved, self._local.decide([*halved.values()], now)), "bucket"

    def _note(self, path: str, outcome: str, by: str) -> None:
        self._telemetry.rate_limit_decisions.labels(path, outcome, by).inc()

    def _tell(self, *, away: bool) -> None:
        if away != self._away:
            self._away = away
            if away:
                self._telemetry.log.warning("rate limits without redis")
            else:
                self._telemetry.log.info("rate limits with redis again")


def session_of(refresh_token: str) -> str:
    """What a refresh token's requests are counted for: its session, of which the next tokens will be, too.

    Tokens of ours have 71 characters, and the first 22 of them are the version and the session's id
    (services/token/domain/refresh_tokens.py). Any other text stands for itself.
    """
    return refresh_token[:_SESSION_LENGTH] if len(refresh_token) == _REFRESH_TOKEN_LENGTH else refresh_token


def rfc_3339(moment: datetime) -> str:
    """A moment of UTC, with milliseconds."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _name(path: str, kind: str, text: str) -> str:
    """What is counted, as it is called in Redis: nobody reads there who signs in.

    A hash without a key, since every replica has to make the same one: it hides a name from whoever looks, not from
    whoever already suspects it. The braces keep all keys of a decision on one node of a Redis Cluster.
    """
    digest = hashlib.sha256(f"{path} {kind} {text}".encode("utf-8", "surrogatepass")).hexdigest()
    return f"{{{path}}}:{kind}:{digest}"


def _paired(counted: dict[str, Counted], windows: Sequence[Window]) -> _Decided:
    return {name: (one, window) for (name, one), window in zip(counted.items(), windows, strict=True)}


def _headers(decided: _Decided) -> dict[str, str]:
    policies, states = [], []
    for name, (one, window) in decided.items():
        policies.append(f'"{name}";q={one.quota.requests};w={one.quota.seconds}')
        states.append(f'"{name}";r={window.left};t={math.ceil(window.wait.total_seconds())}')
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(states)} if decided else {}
