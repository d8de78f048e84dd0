"""Which pages a password reset link may lead to."""

import pytest

from gateway.reset_urls import LONGEST, may_lead_to
from gateway.settings import GatewaySettings
from shared.settings import SettingsError

ALLOWED = ["https://app.example.com/reset", "http://localhost:3000", "https://spa.example.com/#/reset"]
ENVIRONMENT = {"DRAGOMAN_RABBITMQ_URL": "amqp://unused", "DRAGOMAN_ISSUER": "https://id.example.com"}
PREFIX = "DRAGOMAN_GATEWAY_DIRECTUS_PASSWORD_RESET_URL"


@pytest.mark.parametrize(
    "url",
    [
        "https://app.example.com/reset",
        "https://app.example.com/reset?lang=de&to=%2Fhome",
        "https://app.example.com:443/reset",
        "HTTPS://App.Example.COM/reset",
        "http://localhost:3000/",
        "http://localhost:3000?x=1",
        "https://spa.example.com/#/reset",
    ],
)
def test_allowed(url: str) -> None:
    """The page itself, however it is written, and with any query."""
    assert may_lead_to(url, ALLOWED)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://evil.example.com/reset",
        "http://app.example.com/reset",
        "https://app.example.com",
        "https://app.example.com/",
        "https://app.example.com/reset/",
        "https://app.example.com/reset/more",
        "https://app.example.com/Reset",
        "https://app.example.com//reset",
        "https://app.example.com/x/../reset",
        "https://app.example.com/./reset",
        "https://app.example.com/res%65t",
        "https://app.example.com/reset;x",
        "https://app.example.com/reset#elsewhere",
        "https://app.example.com:8443/reset",
        "https://app.example.com:0/reset",
        "https://app.example.com:x/reset",
        "https://app.example.com:99999/reset",
        "https://app.example.com./reset",
        "https://app.example.com.evil.example.com/reset",
        "https://app.example.com@evil.example.com/reset",
        "https://evil.example.com@app.example.com/reset",
        "https://user:word@app.example.com/reset",
        "https://@app.example.com/reset",
        "https://evil.example.com#@app.example.com/reset",
        "https://evil.example.com?@app.example.com/reset",
        "https://evil.example.com\\@app.example.com/reset",
        "https://evil.example.com/\\app.example.com/reset",
        "https:\\\\app.example.com\\reset",
        "https:/app.example.com/reset",
        "https:app.example.com/reset",
        "https:///app.example.com/reset",
        "//app.example.com/reset",
        "/reset",
        "app.example.com/reset",
        "javascript:alert(1)//https://app.example.com/reset",
        "data:text/html,https://app.example.com/reset",
        " https://app.example.com/reset",
        "https://app.example.com/reset ",
        "https://app.example.com/reset\n",
        "https://app.exa\tmple.com/reset",
        "https://app.example.com/reset\r\nX: y",
        "https://app.example.com/reset?x={code}",
        "https://app.example.com/reset?x=ü",
        "https://äpp.example.com/reset",
        "https://аpp.example.com/reset",  # the first letter is Cyrillic
        "https://[::1]/reset",
        "https://[/reset",
        "https://spa.example.com/",
        "https://spa.example.com/#/reset/more",
        f"https://app.example.com/reset?{'x' * LONGEST}",
    ],
)
def test_refused(url: str) -> None:
    """Whatever is not one of the pages to the letter, or could be read as another one."""
    assert not may_lead_to(url, ALLOWED)


def test_none_by_default() -> None:
    """Without a list no page may be chosen."""
    settings = GatewaySettings.load(ENVIRONMENT)
    assert not may_lead_to(
        "https://id.example.com/admin/reset-password", settings.directus_password_reset_url_allow_list
    )
    assert settings.directus_reset_page == "https://id.example.com/admin/reset-password"


def test_the_default_page_can_be_set() -> None:
    """An operator says where links lead when the client does not."""
    settings = GatewaySettings.load(ENVIRONMENT | {PREFIX: "https://app.example.com/reset"})
    assert settings.directus_reset_page == "https://app.example.com/reset"


@pytest.mark.parametrize(
    ("setting", "value", "mistake"),
    [
        (f"{PREFIX}_ALLOW_LIST", "https://app.example.com/reset,app.example.com", "it is not a plain http"),
        (f"{PREFIX}_ALLOW_LIST", "https://*.example.com/", "it is not a plain http"),
        (f"{PREFIX}_ALLOW_LIST", "https://app.example.com/reset?x=1", "any query is allowed"),
        (PREFIX, "https://user@app.example.com/", "it is not a plain http"),
        (PREFIX, "/reset", "it is not a plain http"),
        ("DRAGOMAN_GATEWAY_DIRECTUS_CORS_ORIGINS", "https://app.example.com/x", "not an origin"),
        ("DRAGOMAN_GATEWAY_DIRECTUS_CORS_ORIGINS", "*", "not an origin"),
        ("DRAGOMAN_GATEWAY_DIRECTUS_REFRESH_COOKIE_NAME", "a;b", "pattern"),
        ("DRAGOMAN_GATEWAY_DIRECTUS_REFRESH_COOKIE_NAME", "directus_session_token", "are the same"),
        ("DRAGOMAN_GATEWAY_DIRECTUS_COOKIE_DOMAIN", "example.com; Secure", "pattern"),
        ("DRAGOMAN_GATEWAY_DIRECTUS_COOKIE_SAME_SITE", "any", "lax"),
        ("DRAGOMAN_GATEWAY_DIRECTUS_LOGIN_STALL_MS", "-1", "greater"),
    ],
)
def test_mistakes_in_settings(setting: str, value: str, mistake: str) -> None:
    """What cannot be meant is told when the gateway starts, or is checked."""
    with pytest.raises(SettingsError, match=mistake):
        GatewaySettings.load(ENVIRONMENT | {setting: value})


def test_cookies_for_other_sites_need_https() -> None:
    """Browsers drop cookies that other sites may send unless they are for HTTPS only."""
    same_site = {"DRAGOMAN_GATEWAY_DIRECTUS_COOKIE_SAME_SITE": "none"}
    assert GatewaySettings.load(ENVIRONMENT | same_site).directus_cookie_secure
    with pytest.raises(SettingsError, match="directus_cookie_same_site is none"):
        GatewaySettings.load(ENVIRONMENT | same_site | {"DRAGOMAN_GATEWAY_DIRECTUS_COOKIE_SECURE": "false"})
