"""Which web pages may call."""

import pytest

from gateway.cors import CorsPolicy

METHODS = ("GET", "POST")
ANYBODY = CorsPolicy(origins=None, methods=METHODS)
APP = "https://app.example.com"


def listed(origins: str) -> CorsPolicy:
    """A policy for these origins."""
    policy = CorsPolicy.listed(origins, METHODS)
    assert policy is not None
    return policy


@pytest.mark.parametrize("origin", [None, APP, "null"])
def test_any_origin(origin: str | None) -> None:
    """Where every page may call, none may send cookies."""
    headers = ANYBODY.headers(origin)
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in headers
    assert ANYBODY.preflight_headers(origin)["Access-Control-Allow-Methods"] == "GET, POST"


def test_listed_origin() -> None:
    """A listed page may call with cookies, and is named, so that a cache serves the answer to nobody else."""
    headers = listed(f"{APP}, https://other.example.com").headers(APP)
    assert headers["Access-Control-Allow-Origin"] == APP
    assert headers["Access-Control-Allow-Credentials"] == "true"
    assert headers["Vary"] == "Origin"


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "null",
        "*",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://app.example.com.evil.example",
        "https://evil.example/https://app.example.com",
        "https://APP.example.com",
        "",
    ],
)
def test_other_origins(origin: str | None) -> None:
    """A page that is not listed gets no permission at all, however like a listed one it is."""
    assert dict(listed(APP).headers(origin)) == {"Vary": "Origin"}
    assert not listed(APP).preflight_headers(origin)


@pytest.mark.parametrize("origins", ["", " ", ",", " , "])
def test_nobody_listed(origins: str) -> None:
    """A setting that names no origin is no policy."""
    assert CorsPolicy.listed(origins, METHODS) is None


@pytest.mark.parametrize("written", [APP, f"{APP}/", "https://APP.example.com", f" {APP} ,"])
def test_spellings(written: str) -> None:
    """A setting may be written as people write addresses; browsers have one spelling."""
    assert listed(written).origins == frozenset({APP})


@pytest.mark.parametrize("port", ["https://app.example.com:8443", "http://localhost:3000", "http://[::1]:3000"])
def test_ports(port: str) -> None:
    """A port is part of an origin."""
    assert "Access-Control-Allow-Origin" in listed(port).headers(port)


@pytest.mark.parametrize(
    "origins",
    ["*", "null", "app.example.com", f"{APP}/path", f"{APP}?q", "https://user@app.example.com", f"{APP},*", "ftp://a"],
)
def test_no_origins(origins: str) -> None:
    """What no browser calls an origin is a mistake in the setting, a star above all."""
    with pytest.raises(ValueError, match="not an origin"):
        CorsPolicy.listed(origins, METHODS)


@pytest.mark.parametrize("origins", [None, frozenset({"*"})])
def test_cookies_from_everywhere(origins: frozenset[str] | None) -> None:
    """Cookies and every origin do not go together."""
    with pytest.raises(ValueError, match="listed origins only"):
        CorsPolicy(origins=origins, methods=METHODS, credentials=True)
