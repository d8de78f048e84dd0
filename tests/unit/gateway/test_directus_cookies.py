"""Which pages may act by the cookies that a browser sends along."""

import pytest

from gateway.dialects.directus_cookies import Cookies
from gateway.settings import GatewaySettings
from shared.errors import Error
from tests.unit.gateway.edge import ENVIRONMENT
from tests.unit.gateway.requests import request


def refused(origin: str, *, host: str = "login.example.com", **changed: str) -> bool:
    """Whether a page of `origin` that asks `host` is refused; `changed` are settings."""
    given = {f"DRAGOMAN_{name.upper()}": value for name, value in changed.items()}
    cookies = Cookies(GatewaySettings.load(ENVIRONMENT | given), None)
    try:
        cookies.refuse_strangers(request(Origin=origin, Host=host, Cookie="directus_refresh_token=something"))
    except Error:
        return True
    return False


@pytest.mark.parametrize(
    ("origin", "is_refused"),
    [
        ("https://id.example.com", False),
        ("https://login.example.com", False),
        ("http://id.example.com", True),
        ("http://login.example.com", True),
        ("https://evil.example.com", True),
        ("http://evil.example.com", True),
    ],
)
async def test_behind_https(origin: str, *, is_refused: bool) -> None:
    """Only a page that came over HTTPS is the platform's: one that did not may be anybody's on the way."""
    assert refused(origin) is is_refused


@pytest.mark.parametrize(
    "plain",
    [
        {"issuer": "http://127.0.0.1:8080"},
        {"gateway_directus_cookie_secure": "false"},
        {"issuer": "http://127.0.0.1:8080", "gateway_directus_cookie_secure": "false"},
    ],
    ids=["issuer", "cookies", "both"],
)
async def test_behind_plain_http(plain: dict[str, str]) -> None:
    """Where developers run it without HTTPS its own pages work, by whichever name the browser knows it; no others."""
    for host in ("127.0.0.1:8080", "localhost:8080"):
        assert not refused(f"http://{host}", host=host, **plain)
        assert not refused(f"https://{host}", host=host, **plain)
    assert refused("http://localhost:9090", host="localhost:8080", **plain)
