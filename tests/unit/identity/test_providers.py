"""What a provider's configuration may say, and what is believed of what providers say."""

from typing import Any

import pytest

from services.identity.domain import providers
from services.identity.domain.providers import person, secure_url
from shared.contracts.providers import Provider
from shared.errors import Error

OPENID: dict[str, Any] = {
    "name": "example",
    "client_id": "dragoman",
    "secret": "example-client",
    "issuer": "https://accounts.example.com",
}
PLAIN: dict[str, Any] = {
    "name": "example",
    "kind": "oauth2",
    "client_id": "dragoman",
    "secret": "example-client",
    "authorization_endpoint": "https://example.com/authorize",
    "token_endpoint": "https://example.com/token",
    "userinfo_endpoint": "https://api.example.com/me?fields=id",
}
SHIPPED: dict[str, Any] = {"name": "hub", "kind": "github", "client_id": "dragoman", "secret": "hub"}


@pytest.mark.parametrize(
    "given",
    [
        OPENID,
        OPENID | {"issuer": "http://127.0.0.1:3000/realms/one"},
        OPENID | {"issuer": "http://localhost"},
        OPENID | {"scopes": ["openid", "profile", "https://example.com/scopes/email"]},
        PLAIN,
        SHIPPED,
        SHIPPED | {"kind": "facebook"},
        SHIPPED | {"userinfo_endpoint": "https://github.example.com/api/v3/user"},
        SHIPPED | {"name": "a", "label": "Übersee", "icon": "public"},
    ],
)
def test_configurations(given: dict[str, Any]) -> None:
    """An issuer, three endpoints or a kind that knows them are all it takes."""
    providers.check(Provider(**given))


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("name", OPENID | {"name": ""}),
        ("name", OPENID | {"name": "Example"}),
        ("name", OPENID | {"name": "-example"}),
        ("name", OPENID | {"name": "a/b"}),
        ("name", OPENID | {"name": "a" * 65}),
        ("secret", OPENID | {"secret": "../key"}),
        ("secret", OPENID | {"secret": "..data"}),
        ("secret", OPENID | {"secret": ""}),
        ("client_id", OPENID | {"client_id": ""}),
        ("client_id", OPENID | {"client_id": "a\nb"}),
        ("label", OPENID | {"label": "a\x1bb"}),
        ("icon", OPENID | {"icon": "a" * 501}),
        ("scopes", OPENID | {"scopes": ["openid", "a b"]}),
        ("scopes", OPENID | {"scopes": ["email"]}),
        ("issuer", OPENID | {"issuer": None}),
        ("issuer", OPENID | {"issuer": "http://accounts.example.com"}),
        ("issuer", OPENID | {"issuer": "https://accounts.example.com?a=b"}),
        ("issuer", OPENID | {"issuer": "https://["}),
        ("issuer", PLAIN | {"issuer": "https://example.com"}),
        ("token_endpoint", OPENID | {"token_endpoint": "https://example.com/token"}),
        ("token_endpoint", PLAIN | {"token_endpoint": None}),
        ("userinfo_endpoint", PLAIN | {"userinfo_endpoint": "http://example.com/me"}),
        ("subject_field", PLAIN | {"subject_field": ""}),
        ("authorization_endpoint", SHIPPED | {"authorization_endpoint": "javascript:alert(1)"}),
    ],
)
def test_mistakes(field: str, given: dict[str, Any]) -> None:
    """A configuration that cannot work is refused, and the field with the mistake is named."""
    with pytest.raises(Error) as caught:
        providers.check(Provider(**given))
    assert (caught.value.code, caught.value.detail["field"]) == ("invalid_request", field)


@pytest.mark.parametrize(
    "url",
    [
        "https://user@example.com/",
        "https://example.com/#a",
        "https://example.com:port/",
        "https://exa mple.com/",
        "https://exämple.com/",
        "http://127.0.0.1.example.com/",
        "http://localhost.example.com/",
        "ftp://example.com/",
        "//example.com/",
        "",
    ],
)
def test_urls_that_nobody_is_asked_at(url: str) -> None:
    """Providers are asked over HTTPS, or on this very machine, and nowhere else."""
    with pytest.raises(ValueError, match=r".+"):
        secure_url(url)


def test_shipped_endpoints() -> None:
    """GitHub and Facebook are known; one of them inside a company has addresses of its own."""
    known = providers.known_endpoints(Provider(**SHIPPED))
    assert (known.authorization, known.userinfo) == (
        "https://github.com/login/oauth/authorize",
        "https://api.github.com/user",
    )
    own = providers.known_endpoints(Provider(**SHIPPED, userinfo_endpoint="https://github.example.com/api/v3/user"))
    assert (own.token, own.userinfo) == (known.token, "https://github.example.com/api/v3/user")
    plain = providers.known_endpoints(Provider(**PLAIN))
    assert (plain.token, plain.client_auth) == ("https://example.com/token", "client_secret_basic")


@pytest.mark.parametrize(
    ("verified", "email"), [(True, "a@b.example"), ("true", "a@b.example"), (False, None), ("yes", None), (1, None)]
)
def test_verified_addresses(verified: object, email: str | None) -> None:
    """An address counts when its provider has verified it, and not when something else is said."""
    assert person("1", "a@b.example", verified=verified) == providers.Person("1", email)


@pytest.mark.parametrize("email", [None, "", 1, ["a@b.example"]])
def test_no_address(email: object) -> None:
    """Somebody without an address is somebody all the same."""
    assert person(583231, email, verified=True) == providers.Person("583231", None)


@pytest.mark.parametrize("subject", [None, "", True, 1.5, ["1"], "a" * 256, "a\x00b", "\ud800"])
def test_nobody(subject: object) -> None:
    """What names nobody signs nobody in."""
    with pytest.raises(Error) as caught:
        person(subject, None, verified=True)
    assert caught.value.code == "wrong_password"
