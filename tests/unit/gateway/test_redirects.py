"""Which pages a browser may be sent to once somebody was signed in by an external provider."""

import pytest

from gateway.redirects import may_return_to, with_reason
from gateway.settings import GatewaySettings
from shared.settings import SettingsError
from tests.unit.gateway.edge import ENVIRONMENT

ALLOWED = ["https://app.example.com/admin", "http://localhost:3000", "https://spa.example.com/one/"]


@pytest.mark.parametrize(
    "url",
    [
        "https://app.example.com/admin",
        "https://app.example.com/admin/",
        "https://app.example.com/admin/login?continue",
        "https://app.example.com/admin?next=%2F..%2Fhome",
        "https://app.example.com:443/admin#/users",
        "HTTPS://App.Example.COM/admin",
        "https://app.example.com/admin/a%20b/.well-known/...",
        "http://localhost:3000",
        "http://localhost:3000/anything/at/all",
        "https://spa.example.com/one/",
        "https://spa.example.com/one/two",
    ],
)
def test_allowed(url: str) -> None:
    """The page itself and those below it, with any query and any fragment."""
    assert may_return_to(url, ALLOWED)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/admin",
        "//app.example.com/admin",
        "https://evil.example.com/admin",
        "http://app.example.com/admin",
        "https://app.example.com:8443/admin",
        "https://app.example.com",
        "https://app.example.com/",
        "https://app.example.com/administration",
        "https://app.example.com/admin.evil",
        "https://app.example.com/admin;x",
        "https://app.example.com/Admin",
        "https://spa.example.com/one",
        "https://app.example.com.evil.example.com/admin",
        "https://app.example.com@evil.example.com/admin",
        "https://evil.example.com#@app.example.com/admin",
        "https://evil.example.com?/https://app.example.com/admin",
        "https://evil.example.com\\@app.example.com/admin",
        "https://evil.example.com/\\app.example.com/admin",
        "https:app.example.com/admin",
        "https:///app.example.com/admin",
        "javascript:alert(1)//https://app.example.com/admin",
        "data:text/html,https://app.example.com/admin",
        "https://app.example.com/admin/../elsewhere",
        "https://app.example.com/admin/..",
        "https://app.example.com/admin/./x",
        "https://app.example.com/admin/%2e%2e/elsewhere",
        "https://app.example.com/admin/.%2E/elsewhere",
        "https://app.example.com/admin/..;/elsewhere",
        "https://app.example.com/admin/..%3b/elsewhere",
        "https://app.example.com/admin/..%2felsewhere",
        "https://app.example.com/admin/..%5Celsewhere",
        "https://app.example.com/admin/%252e%252e/elsewhere",
        "https://app.example.com/admin//evil.example.com",
        "http://localhost:3000//evil.example.com",
        " https://app.example.com/admin",
        "https://app.example.com/admin\n",
        "https://app.example.com/admin\r\nSet-Cookie: a=b",
        "https://app.exa\tmple.com/admin",
        "https://app.example.com/admin?x=ü",
        "https://аpp.example.com/admin",  # the first letter is Cyrillic
        f"https://app.example.com/admin?{'x' * 1000}",
    ],
)
def test_refused(url: str) -> None:
    """Whatever is of another origin or above, or could be read as a page that is."""
    assert not may_return_to(url, ALLOWED)


def test_none_by_default() -> None:
    """Without a list nobody is sent anywhere, not even to the platform's own pages."""
    allowed = GatewaySettings.load(ENVIRONMENT).directus_redirect_allow_list
    assert not may_return_to("https://id.example.com/", allowed)


@pytest.mark.parametrize(
    ("value", "mistake"),
    [
        ("https://app.example.com,app.example.com", "it is not a plain http"),
        ("https://*.example.com/", "it is not a plain http"),
        ("/admin", "it is not a plain http"),
        ("https://app.example.com/?x=1", "any query"),
        ("https://app.example.com/#/x", "any query and any fragment"),
        ("https://app.example.com/a/../b", "more than one way"),
    ],
)
def test_mistakes_in_the_list(value: str, mistake: str) -> None:
    """What cannot be meant is told when the gateway starts."""
    with pytest.raises(SettingsError, match=mistake):
        GatewaySettings.load(ENVIRONMENT | {"DRAGOMAN_GATEWAY_DIRECTUS_REDIRECT_ALLOW_LIST": value})


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://a.example/x", "https://a.example/x?reason=INVALID_USER"),
        ("https://a.example", "https://a.example?reason=INVALID_USER"),
        ("https://a.example/x?a=%20b&c", "https://a.example/x?a=%20b&c&reason=INVALID_USER"),
        ("https://a.example/x?reason=OLD&a=b", "https://a.example/x?a=b&reason=INVALID_USER"),
        ("https://a.example/#/login?a=b", "https://a.example/?reason=INVALID_USER#/login?a=b"),
    ],
)
def test_the_reason_is_told(url: str, told: str) -> None:
    """A page reads it in its query, which keeps the rest that was in it."""
    assert with_reason(url, "INVALID_USER") == told
