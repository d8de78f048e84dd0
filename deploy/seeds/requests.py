"""The requests as the seed documents print them, and the answers that these document.

What a document can only print an example of (a token, a code) stands as `{name}`: it is taken from an earlier answer,
or from the inbox. Everything else is sent to the letter.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

JSON = {"Content-Type": "application/json"}
CURL = {"Content-Type": "application/x-www-form-urlencoded"}
"""What curl says of `--data-raw` where the document names no type: all examples of seed 001."""

_CLIENT = {"client_id": "abc123", "client_secret": "456789"}
_PAIR: dict[str, Any] = {
    name: {"token": str, "createdAt": str, "expiresAt": str} for name in ("accessToken", "refreshToken")
}
_TOKENS = {"access_token": str, "expires_in": 3600, "token_type": "bearer", "scope": None, "refresh_token": str}
_LOGIN = {"id_token": str, "access_token": str, "refresh_token": str, "expires_in": 86400}
_DATA = {"data": {"access_token": str, "expires": 900_000, "refresh_token": str}}


@dataclass(frozen=True)
class Example:
    """One request and its documented answer.

    `answer` has the keys in their order, and for each the value or only its type; None stands for no body.
    `keep` names what later requests need, by its path in the answer.
    `code` is the address whose newest message has the `{code}` of this request, or the `{link_token}`.
    """

    seed: str
    title: str
    method: str
    path: str
    body: Mapping[str, Any] | None
    status: int
    answer: Any
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)
    keep: Mapping[str, str] = field(default_factory=dict)
    code: str | None = None


EXAMPLES = (
    Example(
        "000",
        "authenticate a client",
        "POST",
        "/oauth/v2/token",
        {"grant_type": "client_credentials", **_CLIENT},
        200,
        {"access_token": str, "expires_in": 3600, "token_type": "bearer", "scope": None},
        keep={"client_token": "access_token"},
    ),
    Example(
        "000",
        "authenticate a user",
        "POST",
        "/oauth/v2/token",
        {"grant_type": "password", **_CLIENT, "username": "someone@example.com", "password": "def56789"},
        200,
        _TOKENS,
        keep={"oauth2_refresh": "refresh_token"},
    ),
    Example(
        "000",
        "refresh a user's token",
        "POST",
        "/oauth/v2/token",
        {"grant_type": "refresh_token", **_CLIENT, "refresh_token": "{oauth2_refresh}"},
        200,
        _TOKENS,
    ),
    Example(
        "000",
        "a code by e-mail",
        "POST",
        "/otp/send",
        {"email": "someone@example.com"},
        200,
        {"data": {"email": "someone@example.com"}, "meta": []},
        headers={**JSON, "Authorization": "Bearer {client_token}"},
    ),
    Example(
        "000",
        "a code by SMS",
        "POST",
        "/otp/send",
        {"phone": "02345678901234"},
        200,
        {"data": {"phone": str}, "meta": []},
        headers={**JSON, "Authorization": "Bearer {client_token}"},
    ),
    Example(
        "001",
        "sign in",
        "POST",
        "/api/v2/signin",
        {"email": "foo@bar.com", "password": "Secret123"},
        200,
        {"2faRequired": True, "2faDetails": {"token": str, "provider": "email", "expiresAt": str}},
        headers=CURL,
        keep={"2fa": "2faDetails.token"},
    ),
    Example(
        "001",
        "confirm the code",
        "POST",
        "/api/v2/2fa/confirm",
        {"token": "{2fa}", "code": "{code}"},
        200,
        _PAIR,
        headers=CURL,
        keep={"backoffice_refresh": "refreshToken.token"},
        code="foo@bar.com",
    ),
    Example(
        "001",
        "refresh",
        "POST",
        "/api/v2/refresh",
        {"refreshToken": "{backoffice_refresh}"},
        200,
        _PAIR,
        headers=CURL,
        keep={"backoffice_access": "accessToken.token"},
    ),
    Example(
        "001",
        "sign out",
        "POST",
        "/api/v2/signout",
        None,
        200,
        {},
        headers={"Authorization": "Bearer {backoffice_access}"},
    ),
    Example(
        "001",
        "sign out once more",
        "POST",
        "/api/v2/signout",
        None,
        401,
        {"code": 401, "message": str, "errors": {}},
        headers={"Authorization": "Bearer {backoffice_access}"},
    ),
    Example(
        "002",
        "log in",
        "POST",
        "/v1/login",
        {"username": "admin", "password": "j8BDWYrQwDF5u4Yu"},
        200,
        _LOGIN,
        keep={"enterprise_refresh": "refresh_token"},
    ),
    Example(
        "002",
        "refresh",
        "POST",
        "/v1/token-refresh",
        {"username": "admin", "refresh_token": "{enterprise_refresh}"},
        200,
        {"id_token": str, "access_token": str, "expires_in": 86400},
    ),
    Example("002", "revoke", "POST", "/v1/token-revoke", {"refresh_token": "{enterprise_refresh}"}, 204, None),
    Example("002", "forgot the password", "POST", "/v1/forgot-password", {"username": "admin"}, 204, None),
    Example(
        "002",
        "confirm the new password",
        "POST",
        "/v1/forgot-password-confirm",
        {"username": "admin", "password": "j8BDWYrQwDF5u4Yu", "confirmation_code": "{code}"},
        204,
        None,
        code="admin@example.com",
    ),
    Example(
        "002",
        "log in again",
        "POST",
        "/v1/login",
        {"username": "admin", "password": "j8BDWYrQwDF5u4Yu"},
        200,
        _LOGIN,
        keep={"enterprise_access": "access_token"},
    ),
    Example(
        "002",
        "change the password",
        "POST",
        "/v1/change-password",
        {
            "access_token": "{enterprise_access}",
            "previous_password": "j8BDWYrQwDF5u4Yu",
            "proposed_password": "b2BDWZrQwDF5u4Yu",
        },
        204,
        None,
    ),
    Example(
        "002",
        "a new password is required",
        "POST",
        "/v1/login",
        {"username": "temp", "password": "Temp-Pass-1234"},
        200,
        {"challenge_name": "NEW_PASSWORD_REQUIRED", "session": str},
        keep={"session": "session"},
    ),
    Example(
        "002",
        "set the new password",
        "POST",
        "/v1/new-password-required",
        {"session": "{session}", "username": "temp", "new_password": "b2BDWZrQwDF5u4Yu"},
        200,
        _LOGIN,
    ),
    Example(
        "003",
        "request a password reset",
        "POST",
        "/auth/password/request",
        {"email": "admin@example.com"},
        204,
        None,
    ),
    Example(
        "003",
        "reset the password",
        "POST",
        "/auth/password/reset",
        {"token": "{link_token}", "password": "j8BDWYrQwDF5u4Yu"},
        204,
        None,
        code="admin@example.com",
    ),
    Example(
        "003",
        "log in",
        "POST",
        "/auth/login",
        {"email": "admin@example.com", "password": "j8BDWYrQwDF5u4Yu"},
        200,
        _DATA,
        keep={"directus_refresh": "data.refresh_token"},
    ),
    Example(
        "003",
        "refresh",
        "POST",
        "/auth/refresh",
        {"refresh_token": "{directus_refresh}"},
        200,
        _DATA,
        keep={"directus_refresh": "data.refresh_token"},
    ),
    Example("003", "log out", "POST", "/auth/logout", {"refresh_token": "{directus_refresh}"}, 204, None),
    Example(
        "004",
        "log in",
        "POST",
        "/auth/login",
        # The document's password is another one than seed 002's, for what is here one account.
        {"email": "admin@example.com", "password": "j8BDWYrQwDF5u4Yu"},
        200,
        _DATA,
        keep={"directus_refresh": "data.refresh_token", "directus_access": "data.access_token"},
    ),
    Example(
        "004",
        "a token in the header",
        "GET",
        "/users/me",
        None,
        200,
        {"data": dict},
        headers={"Authorization": "Bearer {directus_access}"},
    ),
    Example(
        "004", "a token in the query", "GET", "/users/me?access_token={directus_access}", None, 200, {"data": dict}
    ),
    Example(
        "004",
        "refresh",
        "POST",
        "/auth/refresh",
        {"refresh_token": "{directus_refresh}", "mode": "json"},
        200,
        _DATA,
    ),
)
