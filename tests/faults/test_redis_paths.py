"""What each limited path does while Redis is away: as the README's table says, path by path."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession, ClientTimeout

from gateway.limits.rules import DEFAULTS, Rule, parse
from shared.entropy import SystemEntropy
from tests.e2e.conftest import new_platform, start
from tests.faults.links import Link, linked
from tests.faults.report import Finding, keep
from tests.support.leaks import USED_SECRETS
from tests.support.platform import Platform
from tests.support.token_api import CLIENT, USER
from tests.support.urls import ServerUrls
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(120)

_OWNER = ("admin@example.com", "j8BDWYrQwDF5u4Yu")
_UNCOUNTED = "/auth/password/reset"
_RULES = f"{_UNCOUNTED} away=pass"
_RECOVERED_SECONDS = 2.0
_TOLD_SECONDS = {"away": 1.0, "frozen": 2.25}
_LOADED = 2.0
"""What a machine that does other things meanwhile may make of a second."""


class Behind(NamedTuple):
    """A platform with the limits that there are by default, and its link to Redis."""

    platform: Platform
    redis: Link


@dataclass(frozen=True)
class Told:
    """What one request was answered, and after how many seconds."""

    status: int
    text: str
    retry_after: str | None
    quotas: dict[str, int] | None
    """How many requests of each kind are allowed, None where nobody counts."""
    seconds: float


@pytest.fixture(scope="module")
def behind(server_urls: ServerUrls, worker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    """A whole platform on the run's servers, all of which reaches Redis by one link."""
    with linked("127.0.0.1", urlsplit(server_urls.redis).port or 6379) as link:
        urls = ServerUrls(server_urls.postgres, link.through(server_urls.redis), server_urls.rabbitmq)
        home = tmp_path_factory.mktemp("platform")
        with new_platform(urls, worker, home, {"DRAGOMAN_GATEWAY_LIMITS": _RULES}) as platform:
            asyncio.run(start(platform))
            yield Behind(platform, link)


@pytest.fixture
async def http(behind: Behind) -> AsyncIterator[ClientSession]:
    """What the test asks with."""
    async with ClientSession(behind.platform.url, timeout=ClientTimeout(8.0)) as session:
        yield session


@pytest.mark.parametrize("how", ["away", pytest.param("frozen", marks=pytest.mark.long)])
async def test_each_path_does_what_its_rule_says(behind: Behind, http: ClientSession, how: str) -> None:
    """Codes are refused, sign-ins counted to half as many in this process alone, and what may pass is not counted."""
    rules = parse(_RULES)
    tokens = await _tokens(http)
    before = {path: await _ask(http, path, tokens) for path in DEFAULTS}
    for path, told in before.items():
        assert told.quotas == _quotas(rules[path]), path
        assert told.status != 503, (path, told)
    if how == "away":
        behind.redis.refuse(refusing=True)
        behind.redis.cut()
    else:
        behind.redis.freeze()
    try:
        away = {path: await _ask(http, path, tokens) for path in DEFAULTS}
    finally:
        behind.redis.refuse(refusing=False)
        behind.redis.thaw()
    loop = asyncio.get_running_loop()
    back = loop.time()
    for path, told in away.items():
        assert told.seconds < _TOLD_SECONDS[how] * _LOADED, (path, told)
        assert told.status != 503 or int(told.retry_after or 0) >= 1, (path, told)
        match rules[path].away:
            case "refuse":
                assert (told.status, told.quotas) == (503, None), (path, told)
            case "bucket":
                assert told.quotas == {name: -(-most // 2) for name, most in _quotas(rules[path]).items()}, (path, told)
            case "pass":
                assert told.quotas is None, (path, told)
    assert {rule.away for rule in rules.values()} == {"refuse", "bucket", "pass"}

    async def as_before(path: str) -> bool | None:
        told = await _ask(http, path, tokens)
        return True if (told.status, told.quotas) == (before[path].status, before[path].quotas) else None

    some = ("/v1/token-refresh", "/users/me/tfa/disable", _UNCOUNTED)  # where nobody is delayed for asking often
    await asyncio.gather(*(eventually(partial(as_before, path), 10.0, f"{path} is as before") for path in some))
    recovery = loop.time() - back
    keep(
        Finding(
            fault=f"{how}: each limited path",
            group="Redis",
            held="codes: 503; sign-ins: counted by each process, to half as many; as the README says, path by path",
            requests=len(away),
            slowest_error=round(max(told.seconds for told in away.values()), 2),
            errors={"503": sum(told.status == 503 for told in away.values())},
            recovery=round(recovery, 2),
            long=how == "frozen",
        )
    )
    assert recovery < _RECOVERED_SECONDS * _LOADED


async def _ask(http: ClientSession, path: str, tokens: dict[str, str]) -> Told:
    """One request to this path that gets as far as being counted; its secrets are wrong, and its challenges new."""
    challenge = str(SystemEntropy().uuid())
    wrong = {"password": "wrong-Pass-1234"}
    bodies: dict[str, dict[str, str]] = {
        "/api/v2/signin": {"email": "nobody@example.com", **wrong},
        "/api/v2/2fa/confirm": {"token": challenge, "code": "000000"},
        "/api/v2/refresh": {"refreshToken": challenge},
        "/oauth/v2/token": {**CLIENT, "grant_type": "password", "username": "nobody@example.com", **wrong},
        "/otp/send": {"email": "limited@example.com"},
        "/v1/login": {"username": "nobody", **wrong},
        "/v1/new-password-required": {"session": challenge, "username": "nobody", "new_password": "New-Pass-1234"},
        "/v1/token-refresh": {"username": "nobody", "refresh_token": challenge},
        "/v1/forgot-password": {"username": "nobody@example.com"},
        "/v1/forgot-password-confirm": {"username": "nobody", "confirmation_code": "000000", **wrong},
        "/v1/change-password": {
            "access_token": tokens["enterprise"],
            "previous_password": "wrong-Pass-1234",
            "proposed_password": "New-Pass-1234",
        },
        "/auth/login": {"email": "nobody@example.com", **wrong},
        "/auth/login/{provider}": {"otp": "000000", "challenge": challenge},
        "/auth/refresh": {"refresh_token": challenge, "mode": "json"},
        "/auth/password/request": {"email": "nobody@example.com"},
        "/auth/password/reset": {"token": challenge, **wrong},
        "/users/me/tfa/generate": wrong,
        "/users/me/tfa/enable": {"secret": "JBSWY3DPEHPK3PXP", "otp": "000000"},
        "/users/me/tfa/disable": {"otp": "000000"},
    }
    bearer = tokens["directus" if path.startswith("/users/") else "oauth2"]
    method, body = ("POST", bodies[path]) if path in bodies else ("GET", None)
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with http.request(
        method,
        path.replace("{provider}", "nobody"),
        json=body,
        headers={"Authorization": f"Bearer {bearer}"},
        allow_redirects=False,
    ) as answer:
        text = await answer.text()
    policy = answer.headers.get("RateLimit-Policy")
    quotas = None if policy is None else {name: int(most) for name, most in re.findall(r'"(\w+)";q=(\d+)', policy)}
    return Told(answer.status, text, answer.headers.get("Retry-After"), quotas, loop.time() - started)


async def _tokens(http: ClientSession) -> dict[str, str]:
    """Access tokens of users of three dialects."""
    name, password = _OWNER
    asked = {
        "oauth2": ("/oauth/v2/token", {**CLIENT, **USER, "grant_type": "password"}),
        "enterprise": ("/v1/login", {"username": name, "password": password}),
        "directus": ("/auth/login", {"email": name, "password": password}),
    }
    found = {}
    for dialect, (path, body) in asked.items():
        async with http.post(path, json=body) as answer:
            told = await answer.text()
            assert answer.status == 200, told
        match = re.search(r'"(?:access_token|accessToken)": ?"([^"]+)"', told)
        assert match is not None, dialect
        found[dialect] = match[1]
        USED_SECRETS.note(match[1])
    return found


def _quotas(rule: Rule) -> dict[str, int]:
    return {name: quota.requests for name, quota in rule.quotas().items()}
