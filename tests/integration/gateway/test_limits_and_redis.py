"""Limits as handlers use them: whom they count, what they say, and what they do without Redis."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict
from pydantic import SecretStr
from redis.asyncio import Redis

from gateway.addresses import Addresses, parse_networks
from gateway.limits.limits import LIMIT_HEADERS, Limits
from gateway.limits.redis_windows import open_windows
from gateway.limits.rules import DEFAULTS
from shared.errors import Error, ErrorCode
from shared.telemetry import Telemetry
from shared.testing import FakeClock
from tests.support.proxy import TcpProxy
from tests.support.waiting import eventually

PATH = "/api/v2/signin"
CODES = "/api/v2/2fa/confirm"
DECISIONS = "dragoman_rate_limit_decisions_total"
REFUSED, AWAY = ErrorCode.RATE_LIMITED, ErrorCode.UNAVAILABLE


@dataclass
class Edge:
    """Limits, and requests that they count."""

    limits: Limits
    clock: FakeClock
    telemetry: Telemetry
    routed: dict[str, web.Request] = field(default_factory=dict)

    async def route(self) -> None:
        """Make a request for each path, to be cloned: made anew, each would take milliseconds."""
        app = web.Application()
        for path in DEFAULTS:
            app.router.add_post(path, _never)
            self.routed[path] = make_mocked_request("POST", path)
            self.routed[path]._match_info = await app.router.resolve(self.routed[path])

    async def ask(
        self,
        account: str | None = "a@example.com",
        *,
        path: str = PATH,
        peer: str = "198.51.100.1",
        forwarded: str = "",
    ) -> tuple[str, dict[str, str], Error | None]:
        """What becomes of one request, its headers, and the refusal."""
        headers = CIMultiDict({"X-Forwarded-For": forwarded} if forwarded else {})
        request = self.routed[path].clone(headers=headers, remote=peer)
        request._match_info = self.routed[path]._match_info
        try:
            await self.limits.count(request, account=account)
        except Error as error:
            return error.code, dict(request.get(LIMIT_HEADERS, {})), error
        return "ok", dict(request.get(LIMIT_HEADERS, {})), None

    async def codes(self, times: int, **asked: Any) -> list[str]:
        """What becomes of so many requests."""
        return [(await self.ask(**asked))[0] for _ in range(times)]

    def decisions(self, outcome: str, by: str, path: str = PATH) -> float:
        """How many decisions of a kind were counted."""
        labels = {"path": path, "outcome": outcome, "by": by}
        return self.telemetry.registry.get_sample_value(DECISIONS, labels) or 0.0


async def _never(_request: web.Request) -> web.Response:
    raise AssertionError("these requests have no handler")


OpenEdge = Callable[..., Any]


@pytest.fixture
async def proxy(redis_url: str) -> AsyncIterator[TcpProxy]:
    """What stands between the gateway and Redis."""
    parts = urlsplit(redis_url)
    async with TcpProxy(parts.hostname or "", parts.port or 6379) as standing:
        yield standing


@pytest.fixture
def open_edge(redis_url: str, redis_prefix: str, proxy: TcpProxy) -> OpenEdge:
    """Opens limits with these rules; without Redis, where that is said."""
    parts = urlsplit(redis_url)
    netloc = f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{proxy.port}".removeprefix("@")
    behind = SecretStr(urlunsplit(parts._replace(netloc=netloc)))

    @asynccontextmanager
    async def opened(
        text: str = "", *, trusted: str = "10.0.0.0/8", with_redis: bool = True, region: str | None = "DE"
    ) -> AsyncIterator[Edge]:
        clock, telemetry = FakeClock(), Telemetry("gateway")
        addresses = Addresses(parse_networks([trusted]))
        async with open_windows(behind if with_redis else SecretStr(""), redis_prefix) as windows:
            limits = Limits(text, windows, addresses, clock, telemetry)
            if region is not None:
                limits.read_numbers(region)
            edge = Edge(limits, clock, telemetry)
            await edge.route()
            yield edge

    return opened


@pytest.mark.parametrize("with_redis", [True, False])
async def test_what_is_told(open_edge: OpenEdge, with_redis: bool) -> None:
    """Every answer tells the limits and what is left; a refusal, to the second, when to come again."""
    async with open_edge(f"{PATH} account_at_address=2/60 address=9/120 block=600", with_redis=with_redis) as edge:
        policy = '"account_at_address";q=2;w=60, "address";q=9;w=120'
        _, headers, _ = await edge.ask()
        assert headers == {
            "RateLimit-Policy": policy,
            "RateLimit": '"account_at_address";r=1;t=60, "address";r=8;t=120',
        }
        edge.clock.advance(10.5)
        _, headers, _ = await edge.ask()
        assert headers["RateLimit"] == '"account_at_address";r=0;t=50, "address";r=7;t=110'
        code, headers, error = await edge.ask()
        assert (code, error.retry_after) == (REFUSED, 600)
        assert headers["RateLimit"] == '"account_at_address";r=0;t=600, "address";r=7;t=110'
        assert error.detail == {"limit": 2, "reset": "2026-01-01T00:10:10.500Z"}
        edge.clock.advance(599.001)
        code, headers, error = await edge.ask()
        assert (code, error.retry_after, headers["RateLimit"][:27]) == (REFUSED, 0.999, '"account_at_address";r=0;t=')
        edge.clock.advance(0.999)
        assert (await edge.ask())[0] == "ok"
        by = "redis" if with_redis else "bucket"
        assert [edge.decisions(outcome, by) for outcome in ("allowed", "limited", "blocked")] == [3, 1, 1]


@pytest.mark.parametrize(
    ("account", "name"),
    [
        *(("a@example.com", form) for form in ("A@Example.com", "  a@example.com ", "a@EXAMPLE.COM\n")),
        *(
            ("a@example.com", form)
            for form in ("a@\uff45xample.com", "a@exa\ufe0f\ufe0fmple.com", "a@example\u3002com")
        ),
        *(("a@b\u00fccher.de", form) for form in ("a@XN--bcher-kva.de", "a@bu\u0308cher.de")),
        *(("+4915112345678", form) for form in ("0151 12345678", "0151/1234-5678", "0049 (151) 12345678")),
        *(("someone", form) for form in ("SomeOne", " \uff53\uff4f\uff4d\uff45\uff4f\uff4e\uff45")),
        ("4d0c6ae3-4f0b-4a6a-9c1e-1d6f6d2f5a10", "4D0C6AE3-4F0B-4A6A-9C1E-1D6F6D2F5A10"),
        ("no name at all", " No name \uff21t all"),
    ],
    ids=ascii,
)
async def test_one_account(open_edge: OpenEdge, account: str, name: str) -> None:
    """Whatever names the same account, or nobody in the same words, makes no other account."""
    async with open_edge(f"{PATH} account_at_address=2/60") as edge:
        assert await edge.codes(2, account=account) == ["ok", "ok"]
        assert await edge.codes(1, account=name) == [REFUSED]
        assert await edge.codes(1, account="b@example.com") == ["ok"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a@example.com", "\uff21@example.com"),
        ("stra\u00dfe@example.com", "strasse@example.com"),
        ("a@stra\u00dfe.de", "a@strasse.de"),
        ("+4915112345678", "+64 151 12345678"),
        ("someone@example.com", "someone"),
        ("some.one@example.com", "someone@example.com"),
    ],
    ids=ascii,
)
async def test_two_accounts(open_edge: OpenEdge, one: str, other: str) -> None:
    """Names that identity tells apart have limits of their own, however much they look alike."""
    async with open_edge(f"{PATH} account_at_address=1/60") as edge:
        assert await edge.codes(2, account=one) == ["ok", REFUSED]
        assert await edge.codes(1, account=other) == ["ok"]


async def test_country_unknown(open_edge: OpenEdge) -> None:
    """Until it is known what country numbers are of, those without a country code are nobody else's."""
    async with open_edge(f"{PATH} account_at_address=1/60", region=None) as edge:
        assert await edge.codes(2, account="+4915112345678") == ["ok", REFUSED]
        assert await edge.codes(1, account="+49 (0) 151-12345678") == [REFUSED]
        assert await edge.codes(2, account="0151 12345678") == ["ok", REFUSED]


async def test_paths_apart(open_edge: OpenEdge) -> None:
    """Each path has a count of its own."""
    async with open_edge("/v1/login account=1/60; /auth/login account=1/60") as edge:
        assert await edge.codes(2, path="/v1/login") == ["ok", REFUSED]
        assert await edge.codes(2, path="/auth/login") == ["ok", REFUSED]


async def test_nobody_reads_who_signs_in(open_edge: OpenEdge, redis_url: str, redis_prefix: str) -> None:
    """Neither a name nor an address stands in Redis."""
    async with open_edge() as edge, Redis.from_url(redis_url) as client:
        await edge.ask("ada@example.com", peer="203.0.113.77")
        keys = b" ".join([key async for key in client.scan_iter(match=f"{redis_prefix}*")]).decode()
    assert keys.count(PATH) == 2
    assert "ada" not in keys
    assert "203.0.113" not in keys


async def test_text_that_no_header_should_have(open_edge: OpenEdge) -> None:
    """A name that came out of broken bytes is counted like any other."""
    async with open_edge(f"{PATH} account_at_address=1/60") as edge:
        assert await edge.codes(2, account="a\udce9") == ["ok", REFUSED]


@pytest.mark.parametrize("trusted", ["10.0.0.0/8", "198.51.100.0/24"])
async def test_spoofed_addresses(open_edge: OpenEdge, trusted: str) -> None:
    """10,000 sign-ins, each with another X-Forwarded-For, are those of one address, with a proxy in front or without.

    A proxy appends the true address to what the client made up.
    """
    behind = trusted.startswith("198")
    async with open_edge(trusted=trusted) as edge:

        async def ask(n: int) -> str:
            spoofed = f"{n % 223 + 1}.{n >> 8 & 255}.{n & 255}.9"
            forwarded = f"{spoofed}, 203.0.113.9" if behind else spoofed
            code, _, _ = await edge.ask(f"user{n}@example.com", forwarded=forwarded)
            return str(code)

        codes = [code for first in range(0, 10_000, 200) for code in await _gathered(ask, first, first + 200)]
        assert (codes.count("ok"), codes.count(REFUSED)) == (100, 9_900)


async def _gathered(ask: Callable[[int], Any], first: int, last: int) -> list[str]:
    return list(await asyncio.gather(*(ask(n) for n in range(first, last))))


async def test_ipv6_networks(open_edge: OpenEdge) -> None:
    """All addresses of one /64 count as one, since their owner has every one of them."""
    async with open_edge(f"{PATH} account_at_address=off address=3/60") as edge:
        codes = [(await edge.ask(peer=f"2001:db8:1:2::{n:x}"))[0] for n in range(1, 6)]
        assert codes == ["ok"] * 3 + [REFUSED] * 2
        assert await edge.codes(1, peer="2001:db8:1:3::1") == ["ok"]


async def test_a_stranger_elsewhere_uses_up_nothing(open_edge: OpenEdge) -> None:
    """What an account is tried for at one address is no loss to whoever is at another (row 21)."""
    async with open_edge("") as edge:
        assert await edge.codes(6, peer="203.0.113.1") == ["ok"] * 5 + [REFUSED]
        assert await edge.codes(6, peer="203.0.113.2") == ["ok"] * 5 + [REFUSED]


async def test_unknown_addresses_share_nothing(open_edge: OpenEdge) -> None:
    """Clients whose address cannot be determined are never one bucket; each account still has its limit (row 20)."""
    async with open_edge(f"{PATH} account_at_address=2/60 address=3/60") as edge:
        for n in range(20):
            code, headers, _ = await edge.ask(f"user{n}@example.com", peer="10.0.0.1")
            assert (code, headers["RateLimit-Policy"]) == ("ok", '"account_at_address";q=2;w=60')
        assert await edge.codes(3, account="user0@example.com", peer="10.0.0.1") == ["ok", REFUSED, REFUSED]
        code, headers, _ = await edge.ask(None, peer="10.0.0.1")
        assert (code, headers) == ("ok", {})
        assert edge.decisions("allowed", "none") == 1


async def test_replaced_while_running(open_edge: OpenEdge) -> None:
    """Other limits hold from the next request on; what cannot be read changes nothing."""
    async with open_edge(f"{PATH} account_at_address=1/60") as edge:
        assert await edge.codes(2) == ["ok", REFUSED]
        with pytest.raises(ValueError, match="whole number"):
            edge.limits.replace(f"{PATH} account_at_address=many/60")
        assert await edge.codes(1) == [REFUSED]
        edge.limits.replace(f"{PATH} account_at_address=3/60 block=0")
        assert await edge.codes(4) == ["ok"] * 3 + [REFUSED]
        edge.limits.replace("off")
        assert await edge.codes(9) == ["ok"] * 9


@pytest.mark.parametrize("how", ["refusing", "frozen"])
async def test_redis_goes_away(open_edge: OpenEdge, proxy: TcpProxy, how: str) -> None:
    """Redis goes away while running: sign-ins go on under a stricter limit, codes are refused, and metrics say so.

    When it is back it counts again, all by itself (row 19).
    """
    async with open_edge("/otp/send away=pass account=1/600", trusted="10.0.0.0/8") as edge:
        assert await edge.codes(1, path=CODES) == ["ok"]
        if how == "frozen":
            proxy.freeze()
        else:
            proxy.refusing = True
            proxy.cut()
        async with asyncio.timeout(20):
            _, headers, _ = await edge.ask()
            assert headers["RateLimit-Policy"] == '"account_at_address";q=3;w=60, "address";q=50;w=60'
            assert headers["RateLimit"] == '"account_at_address";r=2;t=60, "address";r=49;t=60'
            assert await edge.codes(4) == ["ok", "ok", REFUSED, REFUSED]
            _, _, error = await edge.ask(path=CODES)
            assert error.code == AWAY
            assert await edge.codes(3, path="/otp/send") == ["ok"] * 3
        assert [edge.decisions(outcome, "bucket") for outcome in ("allowed", "limited", "blocked")] == [3, 1, 1]
        assert edge.decisions("refused", "none", CODES) == 1
        assert edge.decisions("allowed", "none", "/otp/send") == 3
        proxy.refusing = False
        proxy.thaw()

        async def is_back() -> bool | None:
            return (await edge.ask(path=CODES))[0] == "ok" or None

        await eventually(is_back, 10, "codes are counted in Redis again")


async def test_redis_that_hangs_is_not_waited_for(open_edge: OpenEdge, proxy: TcpProxy) -> None:
    """Once Redis hangs, the requests that follow do not each wait for it again."""
    async with open_edge() as edge:
        await edge.ask()
        proxy.freeze()
        await edge.ask()
        loop = asyncio.get_running_loop()
        started = loop.time()
        for n in range(50):
            await edge.ask(f"user{n}@example.com", peer=f"203.0.113.{n}")
        assert loop.time() - started < 0.5
        proxy.thaw()


async def test_without_redis_at_all(open_edge: OpenEdge) -> None:
    """Where no Redis is configured each process counts in full, codes included."""
    async with open_edge(with_redis=False) as edge:
        assert await edge.codes(6) == ["ok"] * 5 + [REFUSED]
        assert await edge.codes(4, path=CODES) == ["ok"] * 3 + [REFUSED]


async def test_long_names_are_counted_unread(open_edge: OpenEdge) -> None:
    """What is nobody's name by its length is counted as it is, in no time."""
    async with open_edge(f"{PATH} account_at_address=1/60") as edge:
        long = "a" + "\u0301\u0316" * 15_000
        began = time.process_time()
        assert await edge.codes(2, account=long) == ["ok", REFUSED]
        assert await edge.codes(1, account=long + "a") == ["ok"]
        assert time.process_time() - began < 0.4
