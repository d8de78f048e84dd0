"""Rate limits as clients meet them, in each dialect's words."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from tests.dialects.conftest import OpenPlatform
from tests.dialects.doors import BACKOFFICE, DIRECTUS, DOORS, ENTERPRISE, OAUTH2, Door
from tests.dialects.exchanges import check_headers
from tests.dialects.running import SERVICES, Answer, Platform, Servers
from tests.support.proxy import TcpProxy

pytestmark = pytest.mark.asyncio(loop_scope="module")

EMAIL, PASSWORD = "someone@example.com", "def56789"
SIGN_INS = {"backoffice": "/api/v2/signin", "enterprise": "/v1/login", "directus": "/auth/login"}
RULES = "; ".join(
    [
        *(
            f"{path} account=3/60 account_at_address=off address=8/60 block=600"
            for path in (*SIGN_INS.values(), "/oauth/v2/token")
        ),
        "/api/v2/2fa/confirm account=2/60 block=600",
        "/api/v2/refresh account=2/60 account_at_address=off block=600",
        "/otp/send account=2/600 address=off block=600",
        "/v1/forgot-password account=2/600 address=off block=600",
    ]
)
TOO_MANY: dict[str, Any] = {
    "oauth2": {
        "error": "temporarily_unavailable",
        "error_description": "Too many requests. Please try again later.",
    },
    "backoffice": {"code": 429, "message": "Too many requests. Please try again later.", "errors": {}},
    "enterprise": {"status": 429, "message": "Too many requests, please try after some time."},
}
_addresses = count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def limited(open_other: OpenPlatform) -> AsyncIterator[Platform]:
    """Low limits, behind a trusted proxy on this machine, and with HSTS."""
    settings = {"gateway_trusted_proxies": "127.0.0.1/32", "gateway_hsts_seconds": "31536000"}
    async with open_other(gateway_limits=RULES, **settings) as running:
        yield running


@pytest.fixture
def address() -> str:
    """A client's address that no other test has used."""
    return f"203.0.113.{next(_addresses)}"


async def sign_in(
    platform: Platform, door: Door, name: str, password: str, address: str | None, path: str | None = None
) -> Answer:
    """Try to sign in, seen by the proxy from this address."""
    headers = {"X-Forwarded-For": address} if address else {}
    body = door.sign_in_body(name, password)
    answer = await platform.send("POST", path or door.sign_in_path, json=body, headers=headers)
    check_headers(answer)
    return answer


def calls(platform: Platform, subject: str) -> float:
    """How many calls the gateway has made of a kind."""
    samples = [sample for metric in platform.telemetry.registry.collect() for sample in metric.samples]
    return sum(
        one.value for one in samples if one.name == "dragoman_bus_calls_total" and one.labels["subject"] == subject
    )


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
async def test_blocked_even_with_the_right_password(limited: Platform, door: Door, address: str) -> None:
    """After too many sign-ins in a minute none is let in for ten, and nobody is asked; afterwards it is as before."""
    statuses = [(await sign_in(limited, door, EMAIL, "wrong", address)).status for _ in range(3)]
    assert set(statuses) <= {400, 401}
    before = calls(limited, "token.sign_in.v1") + calls(limited, "token.grant_password.v1")
    refused = await sign_in(limited, door, EMAIL, PASSWORD, address)
    assert (refused.status, refused.headers["Retry-After"]) == (429, "600")
    if door is DIRECTUS:
        [error] = refused.json()["errors"]
        assert error["message"] == "Too many requests, retry after 600s."
        assert error["extensions"].keys() == {"code", "limit", "reset"}
        assert (error["extensions"]["code"], error["extensions"]["limit"]) == ("REQUESTS_EXCEEDED", 3)
        assert error["extensions"]["reset"].endswith("Z")
    else:
        assert refused.json() == TOO_MANY[door.name]
    limited.clock.advance(599)
    again = await sign_in(limited, door, EMAIL.upper(), PASSWORD, address)
    assert (again.status, again.headers["Retry-After"]) == (429, "1")
    assert calls(limited, "token.sign_in.v1") + calls(limited, "token.grant_password.v1") == before
    limited.clock.advance(1)
    assert (await sign_in(limited, door, EMAIL, PASSWORD, address)).status == 200


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.name)
async def test_what_every_answer_tells(limited: Platform, door: Door, address: str) -> None:
    """Answers tell the limits and what is left, also those to sign-ins that succeed."""
    limited.clock.advance(3600)
    first = await sign_in(limited, door, EMAIL, PASSWORD, address)
    assert first.headers["RateLimit-Policy"] == '"account";q=3;w=60, "address";q=8;w=60'
    assert first.headers["RateLimit"] == '"account";r=2;t=60, "address";r=7;t=60'
    second = await sign_in(limited, door, EMAIL, "wrong", address)
    assert second.headers["RateLimit"] == '"account";r=1;t=60, "address";r=6;t=60'


async def test_known_and_unknown(limited: Platform, address: str) -> None:
    """Who has no account is limited as who has one, in every word but the moment."""
    limited.clock.advance(3600)
    for door in DOORS:
        told = []
        for name in (EMAIL, f"nobody-{door.name}@example.com"):
            limited.clock.advance(3600)
            answers = [await sign_in(limited, door, name, "wrong", address) for _ in range(5)]
            told.append([(one.status, one.headers["RateLimit"], one.headers.get("Retry-After")) for one in answers])
        assert told[0] == told[1]
        assert [status for status, _, _ in told[0]][3:] == [429, 429]


async def test_an_address_is_limited_over_all_accounts(limited: Platform, address: str) -> None:
    """One address that tries many names is stopped, whatever it says of itself; the next address is not."""
    statuses = [
        (await sign_in(limited, ENTERPRISE, f"name{n}", "wrong", f"10.{n}.0.1, {address}")).status for n in range(12)
    ]
    assert statuses == [401] * 8 + [429] * 4
    assert (await sign_in(limited, ENTERPRISE, "name99", "wrong", f"{address}, 198.51.100.1")).status == 401


async def test_clients_of_unknown_address_share_nothing(limited: Platform) -> None:
    """Where the proxy does not say whose a request is, only accounts are limited."""
    for n in range(12):
        answer = await sign_in(limited, ENTERPRISE, f"someone{n}", "wrong", None)
        assert (answer.status, answer.headers["RateLimit-Policy"]) == (401, '"account";q=3;w=60')


async def test_at_once(limited: Platform, address: str) -> None:
    """Of 60 sign-ins at the same moment no more than the limit get as far as a password."""
    before = calls(limited, "token.sign_in.v1")
    answers = await asyncio.gather(
        *(sign_in(limited, BACKOFFICE, "at-once@example.com", "wrong", address) for _ in range(60))
    )
    assert sorted(answer.status for answer in answers) == [401] * 3 + [429] * 57
    assert calls(limited, "token.sign_in.v1") == before + 3


@pytest.mark.parametrize(
    "path",
    [
        "//api/v2/signin",
        "/api//v2/signin",
        "/api/v2/signin/",
        "/API/v2/signin",
        "/Api/V2/SignIn",
        "/api/v2/signin%2F",
        "/api%2Fv2/signin",
        "/api/v2/signin;x",
        "/api/v2/signin%20",
        "/api/v2/signin%00",
        "/api/v2/./signin",
        "/x/../api/v2/signin",
    ],
)
async def test_no_other_path_leads_there(limited: Platform, path: str, address: str) -> None:
    """A path that is written otherwise leads nowhere, so that no limit can be walked around."""
    before = calls(limited, "token.sign_in.v1")
    body = b'{"email":"someone@example.com","password":"def56789"}'
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {address}\r\nConnection: close\r\n"
    answer = await limited.raw(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    assert answer.split(b" ", 2)[1] == b"404"
    assert calls(limited, "token.sign_in.v1") == before


@pytest.mark.parametrize("path", ["/api/v2/sign%69n", "/api/v2/signin?x=1", "/api/v2/signin?"])
async def test_other_forms_count_as_one(limited: Platform, path: str, address: str) -> None:
    """Where a path that is written otherwise does lead there, it has the same count."""
    body = b'{"email":"forms@example.com","password":"wrong"}'
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {address}\r\nConnection: close\r\n"
    limited.clock.advance(3600)
    statuses = []
    for _ in range(4):
        answer = await limited.raw(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        statuses.append(answer.split(b" ", 2)[1])
    assert statuses == [b"401"] * 3 + [b"429"]
    assert (await sign_in(limited, BACKOFFICE, "forms@example.com", "wrong", address)).status == 429


async def test_refreshes_of_a_session(limited: Platform, address: str) -> None:
    """Refreshes are limited for each session, whichever of its tokens is used; another session is not touched."""
    limited.clock.advance(3600)
    sessions = [await sign_in(limited, BACKOFFICE, EMAIL, PASSWORD, address) for _ in range(2)]
    token = BACKOFFICE.refresh_token(sessions[0])
    for _ in range(2):
        answer = await BACKOFFICE.refresh(limited, EMAIL, token)
        assert answer.status == 200, answer.text
        token = BACKOFFICE.refresh_token(answer)
    assert (await BACKOFFICE.refresh(limited, EMAIL, token)).status == 429
    assert (await BACKOFFICE.refresh(limited, EMAIL, BACKOFFICE.refresh_token(sessions[1]))).status == 200


async def test_confirmations_of_a_challenge(limited: Platform, address: str) -> None:
    """Codes are limited for each challenge, in whatever form its token is written."""
    limited.clock.advance(3600)
    challenged = await sign_in(limited, BACKOFFICE, "otto@example.com", "Otto-Pass-1234", address)
    token = challenged.json()["2faDetails"]["token"]
    statuses = []
    for form in (token, token.upper(), f"{{{token}}}"):
        answer = await limited.send("POST", "/api/v2/2fa/confirm", json={"token": form, "code": "000000"})
        statuses.append(answer.status)
    assert statuses == [401, 401, 429]


async def test_codes_for_an_address(limited: Platform) -> None:
    """Codes are limited by whom they go to, and only requests that may ask for one count."""
    for _ in range(3):
        status, _ = await limited.send_code(bearer="wrong", email="coded@example.com")
        assert status == 401
    statuses = [(await limited.send_code(email="coded@example.com"))[0] for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert (await limited.send_code(email="other@example.com"))[0] == 200


@pytest.mark.parametrize(
    "form",
    [
        "ADA@b\u00fccher.example.org",
        "ada@bu\u0308cher.example.org",
        "ada@xn--bcher-kva.example.org",
        "ada@b\u00fccher\u3002example\u3002org",
        *("ada@b\u00fccher.exa" + "\ufe0f" * times + "mple.org" for times in (1, 2, 9)),
    ],
    ids=ascii,
)
async def test_an_address_written_otherwise(limited: Platform, form: str) -> None:
    """However an address is written, what is sent to it counts as sent to one address."""
    limited.clock.advance(3600)
    paths = {"/v1/forgot-password": "username", "/otp/send": "email"}
    bearer = (await limited.token("client_credentials"))[1]["access_token"]
    for path, name in paths.items():
        statuses = []
        for address in ("ada@b\u00fccher.example.org", form, form):
            headers = {"Authorization": f"Bearer {bearer}"}
            statuses.append((await limited.send("POST", path, json={name: address}, headers=headers)).status)
        assert statuses == ([204, 204, 429] if name == "username" else [200, 200, 429])


async def test_only_passwords_are_limited_at_the_token_endpoint(limited: Platform, address: str) -> None:
    """Clients' own tokens and refreshes neither count nor are refused."""
    for _ in range(4):
        await sign_in(limited, OAUTH2, "blocked@example.com", "wrong", address)
    for _ in range(12):
        body = {"grant_type": "client_credentials", "client_id": "abc123", "client_secret": "456789"}
        answer = await limited.send("POST", "/oauth/v2/token", json=body, headers={"X-Forwarded-For": address})
        assert (answer.status, "RateLimit" in answer.headers) == (200, False)


async def test_the_log_learns_the_address(limited: Platform) -> None:
    """The log names the client that the proxy names."""
    with capture_logs() as lines:
        await sign_in(limited, ENTERPRISE, "logged", "wrong", "2001:db8:5::7")
        await sign_in(limited, ENTERPRISE, "logged", "wrong", None)
    clients = [line["client"] for line in lines if line["event"] == "request"]
    assert clients == ["2001:db8:5::7", None]


async def test_https_alone(limited: Platform, open_other: OpenPlatform) -> None:
    """With the setting every answer asks browsers to keep to HTTPS, and without it none does."""
    async with open_other(without=frozenset(SERVICES)) as other:
        for path in ("/oauth/v2/userinfo", "/api/v2/nothing", "/.well-known/jwks.json"):
            asked = await limited.send("GET", path)
            assert asked.headers["Strict-Transport-Security"] == "max-age=31536000"
            assert "Strict-Transport-Security" not in (await other.send("GET", path)).headers


async def test_redis_goes_away(open_other: OpenPlatform, servers: Servers) -> None:
    """The gateway loses Redis while running: sign-in goes on under a stricter limit, codes are refused with 503."""
    parts = urlsplit(servers.redis)
    async with TcpProxy(parts.hostname or "", parts.port or 6379) as proxy:
        netloc = f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{proxy.port}".removeprefix("@")
        behind = urlunsplit(parts._replace(netloc=netloc))
        async with open_other(
            gateway_limits="/api/v2/signin account_at_address=4/60", gateway_redis_url=behind
        ) as running:
            challenged = await sign_in(running, BACKOFFICE, "otto@example.com", "Otto-Pass-1234", None)
            token = challenged.json()["2faDetails"]["token"]
            proxy.refusing = True
            proxy.cut()
            statuses = [(await sign_in(running, BACKOFFICE, EMAIL, PASSWORD, None)).status for _ in range(3)]
            assert statuses == [200, 200, 429]
            code = await running.send("POST", "/api/v2/2fa/confirm", json={"token": token, "code": "000000"})
            assert (code.status, int(code.headers["Retry-After"]) >= 1) == (503, True)
            read = running.telemetry.registry.get_sample_value
            labels = {"path": "/api/v2/signin", "outcome": "limited", "by": "bucket"}
            assert read("dragoman_rate_limit_decisions_total", labels) == 1
