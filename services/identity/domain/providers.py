"""External providers: what their configuration may say, where each kind has its endpoints, and whom they tell of."""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from shared.contracts.providers import Provider, ProviderKind
from shared.errors import Error, ErrorCode

ClientAuth = Literal["client_secret_basic", "client_secret_post"]

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
SECRET_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,252}")
"""A name of a file and of nothing above it: no slash, no dot at its beginning."""
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
"""RFC 6749 §3.3."""
_LONGEST_TEXT = 500
_LONGEST_SUBJECT = 255
"""OpenID Connect Core §2."""
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint")
_FIELDS = ("subject_field", "email_field", "email_verified_field")
_SCOPES: dict[ProviderKind, list[str]] = {
    "oidc": ["openid", "email"],
    "oauth2": [],
    "github": ["read:user", "user:email"],
    "facebook": ["email"],
}


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a provider is asked for what, and how our client proves itself there.

    `names_itself` says that the browser always brings back the issuer's name (RFC 9207).
    """

    authorization: str
    token: str
    userinfo: str | None
    jwks: str | None = None
    client_auth: ClientAuth = "client_secret_basic"
    names_itself: bool = False


_KNOWN: dict[ProviderKind, Endpoints] = {
    # https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps
    "github": Endpoints(
        authorization="https://github.com/login/oauth/authorize",
        token="https://github.com/login/oauth/access_token",  # noqa: S106 - where tokens are asked for
        userinfo="https://api.github.com/user",
        client_auth="client_secret_post",
    ),
    # https://developers.facebook.com/docs/facebook-login/guides/advanced/manual-flow
    "facebook": Endpoints(
        authorization="https://www.facebook.com/dialog/oauth",
        token="https://graph.facebook.com/oauth/access_token",  # noqa: S106 - where tokens are asked for
        userinfo="https://graph.facebook.com/me?fields=id,email",
        client_auth="client_secret_post",
    ),
}


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a provider has recognised. `email` is None unless the provider has verified it."""

    subject: str
    email: str | None


@dataclass(frozen=True, slots=True)
class ProviderLink:
    """That somebody is a user, because a provider says so: the name of the provider, and its name for that person."""

    provider: str
    subject: str


def check(provider: Provider) -> None:
    """Raise `invalid_request` with `detail.field` for a configuration that cannot work."""
    if not _NAME.fullmatch(provider.name):
        raise _invalid("name", "1 to 64 of a-z, 0-9 and dash, which neither begins nor ends it")
    if not SECRET_NAME.fullmatch(provider.secret):
        raise _invalid("secret", "the name of a mounted secret: a-z, 0-9, dot, dash and underscore")
    if not provider.client_id or not _is_text(provider.client_id):
        raise _invalid("client_id", "must be printable")
    for field, text in (("label", provider.label), ("icon", provider.icon)):
        if not _is_text(text):
            raise _invalid(field, f"at most {_LONGEST_TEXT} printable characters")
    if not all(_SCOPE.fullmatch(scope) for scope in provider.scopes):
        raise _invalid("scopes", "no scopes (RFC 6749 §3.3)")
    if provider.kind == "oidc":
        _check_openid(provider)
    else:
        _check_plain(provider)


def _check_openid(provider: Provider) -> None:
    if not provider.issuer:
        raise _invalid("issuer", "an OpenID provider needs its issuer")
    _check_url("issuer", provider.issuer)
    if "?" in provider.issuer:
        raise _invalid("issuer", "an issuer has no query (OpenID Connect Discovery §2)")
    for field in _ENDPOINTS:
        if getattr(provider, field) is not None:
            raise _invalid(field, "an OpenID provider says where its endpoints are itself")
    if provider.scopes and "openid" not in provider.scopes:
        raise _invalid("scopes", "an OpenID provider needs the scope openid among them")


def _check_plain(provider: Provider) -> None:
    if provider.issuer is not None:
        raise _invalid("issuer", "only an OpenID provider has one")
    for field in _ENDPOINTS:
        url = getattr(provider, field)
        if url is not None:
            _check_url(field, url)
        elif provider.kind == "oauth2":
            raise _invalid(field, "this kind of provider needs all three endpoints")
    for field in _FIELDS:
        if not getattr(provider, field) or not _is_text(getattr(provider, field)):
            raise _invalid(field, "must be the name of a field")


def _check_url(field: str, url: str) -> None:
    try:
        secure_url(url)
    except ValueError as error:
        raise _invalid(field, str(error)) from None


def _is_text(text: str) -> bool:
    return len(text) <= _LONGEST_TEXT and text.isprintable()


def _invalid(field: str, problem: str) -> Error:
    return Error(ErrorCode.INVALID_REQUEST, f"{field}: {problem}", detail={"field": field, "problem": problem})


def secure_url(url: str) -> str:
    """The URL itself. Raises ValueError unless it is https, or http to this very machine, without fragment."""
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("not a URL")
    parts = urlsplit(url)
    if not parts.hostname or parts.scheme not in {"http", "https"} or parts.username is not None or "#" in url:
        raise ValueError("not a URL of http(s) without user and fragment")
    if parts.port == 0:  # reading it raises ValueError for what is no port
        raise ValueError("not a port")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise ValueError("https is required")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def known_endpoints(provider: Provider) -> Endpoints:
    """The endpoints of a provider that is no OpenID provider: those it was configured with, else those of its kind."""
    known = _KNOWN.get(provider.kind)
    authorization = provider.authorization_endpoint or (known.authorization if known else "")
    token = provider.token_endpoint or (known.token if known else "")
    userinfo = provider.userinfo_endpoint or (known.userinfo if known else None)
    return Endpoints(authorization, token, userinfo, client_auth=known.client_auth if known else "client_secret_basic")


def same_people(one: Provider, other: Provider) -> bool:
    """Whether the subjects of one configuration are those of the other: the same provider names people the same way."""
    return (one.kind, one.issuer, one.userinfo_endpoint, one.subject_field) == (
        other.kind,
        other.issuer,
        other.userinfo_endpoint,
        other.subject_field,
    )


def scopes(provider: Provider) -> list[str]:
    """What to ask a provider for: what it was configured with, else what tells the e-mail address."""
    return provider.scopes or _SCOPES[provider.kind]


def person(subject: object, email: object, *, verified: object) -> Person:
    """Whom a provider tells of, in whatever types. Raises `wrong_password` for a subject that names nobody.

    `verified` counts as the JSON value true and as the word, in which some providers say it.
    """
    if isinstance(subject, int) and not isinstance(subject, bool):
        subject = str(subject)
    if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT or not subject.isprintable():
        raise Error(ErrorCode.WRONG_PASSWORD, "the provider names nobody")
    is_verified = verified is True or verified == "true"
    return Person(subject, email if is_verified and isinstance(email, str) and email else None)
