"""The `oauth2` dialect: an OAuth 2 token API with one-time codes (seed 000).

| path | what it does | answer |
|---|---|---|
| POST /oauth/v2/token | client_credentials, password, refresh_token (RFC 6749 §4.3, §4.4, §6) | the seed's keys |
| POST /otp/send | sends a one-time code, which then works as `password` | `{"data": {…}, "meta": []}` |
| POST /oauth/v2/revoke | ends a token; a refresh token's whole session (RFC 7009) | `{}` |
| POST /oauth/v2/introspect | what a token says (RFC 7662) | claims, or `{"active": false}` |
| GET, POST /oauth/v2/userinfo | who the user is (OpenID Connect Core §5.3) | claims |
| GET /.well-known/… | keys, metadata, revocations: gateway/wellknown.py, with this dialect's errors | |

Oddities, and where they come from (reference: api-contracts §1.1):
- JSON bodies beside forms: the seed shows JSON; RFC 6749 asks for forms.
- `token_type` is lower-case `bearer`, `scope` is null when there is none: the origin's.
- `meta` is an empty array: the origin's language has no other empty object.
- The texts are the origin's, without the quotation marks that RFC 6749 §5.2 forbids in `error_description`.
- `invalid_client` is 401 also for credentials in the body; a setting gives the origin's 400.
- Every reason why a sign-in fails has one answer, so that nobody learns who has an account.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus
from uuid import UUID

from aiohttp import web
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError, field_validator

from gateway.body import BodyError, is_clean, read_fields
from gateway.dialects.dialect import NO_STORE, Gateway, json_response, retry_after
from shared.contracts.identity import GetUser, SendCode
from shared.contracts.token import (
    GrantClientCredentials,
    GrantPassword,
    GrantRefreshToken,
    IntrospectToken,
    RevokeToken,
    TokenSet,
)
from shared.errors import Error, ErrorCode

# --- wire models ------------------------------------------------------------------------------------------------------


class TokenRequest(BaseModel):
    """The body of a POST below /oauth/v2; an empty parameter counts as omitted (RFC 6749 §3.1), unknown ones too."""

    model_config = ConfigDict(strict=True, extra="ignore", hide_input_in_errors=True)

    grant_type: str | None = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    scope: str | None = None
    username: str | None = None
    password: SecretStr | None = None
    refresh_token: SecretStr | None = None
    token: SecretStr | None = None

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_omitted(cls, value: object) -> object:
        return None if value == "" else value


def token_response(tokens: TokenSet) -> web.Response:
    """The seed's keys in the seed's order; a client of its own has no refresh token."""
    body: dict[str, Any] = {
        "access_token": tokens.access_token.get_secret_value(),
        "expires_in": tokens.expires_in,
        "token_type": "bearer",
        "scope": tokens.scope,
    }
    if tokens.refresh_token is not None:
        body["refresh_token"] = tokens.refresh_token.get_secret_value()
    return json_response(body)


# --- errors: every code there is, and what it is called here ----------------------------------------------------------

_GRANT_REFUSED = (400, "invalid_grant", "Invalid username and password combination")
_REFRESH_REFUSED = (400, "invalid_grant", "Invalid refresh token")
_AWAY = (503, "temporarily_unavailable", "The service is temporarily unavailable")
_BROKEN = (500, "server_error", "Something went wrong on our side")

ERRORS: Mapping[ErrorCode, tuple[int, str, str]] = {
    ErrorCode.INVALID_REQUEST: (400, "invalid_request", "The request is missing a parameter or has a malformed one"),
    ErrorCode.INVALID_CLIENT: (401, "invalid_client", "The client credentials are invalid"),
    ErrorCode.UNAUTHORIZED_CLIENT: (
        400,
        "unauthorized_client",
        "The grant type is unauthorized for this client_id",
    ),
    ErrorCode.INVALID_SCOPE: (400, "invalid_scope", "An unsupported scope was requested."),
    ErrorCode.INVALID_TOKEN: (401, "invalid_token", "The access token provided is invalid."),
    # Who somebody is: one answer, whatever the reason.
    ErrorCode.NO_SUCH_USER: _GRANT_REFUSED,
    ErrorCode.WRONG_PASSWORD: _GRANT_REFUSED,
    ErrorCode.USER_SUSPENDED: _GRANT_REFUSED,
    ErrorCode.PASSWORD_CHANGE_REQUIRED: _GRANT_REFUSED,
    # Said only once the password was right: this dialect has no way to ask for a second factor (user-pains row 37).
    ErrorCode.SECOND_FACTOR_REQUIRED: (400, "invalid_grant", "mfa_required"),
    ErrorCode.WRONG_CODE: _GRANT_REFUSED,
    ErrorCode.CODE_EXPIRED: _GRANT_REFUSED,
    ErrorCode.TOO_MANY_ATTEMPTS: _GRANT_REFUSED,
    # Which session: only that it expired is told, since its holder must have had it.
    ErrorCode.SESSION_UNKNOWN: _REFRESH_REFUSED,
    ErrorCode.SESSION_REVOKED: _REFRESH_REFUSED,
    ErrorCode.SESSION_REPLAYED: _REFRESH_REFUSED,
    ErrorCode.SESSION_EXPIRED: (400, "invalid_grant", "Refresh token has expired"),
    ErrorCode.RATE_LIMITED: (429, "temporarily_unavailable", "Too many requests. Please try again later."),
    ErrorCode.FEATURE_DISABLED: (403, "access_denied", "One time passwords are disabled"),
    ErrorCode.FORBIDDEN: (403, "access_denied", "Access denied"),
    ErrorCode.OVERLOADED: _AWAY,
    ErrorCode.UNAVAILABLE: _AWAY,
    ErrorCode.DEADLINE_EXCEEDED: _AWAY,
    # No operation of this dialect raises these; should one ever, it is our mistake.
    ErrorCode.NOT_FOUND: _BROKEN,
    ErrorCode.CONFLICT: _BROKEN,
    ErrorCode.WEAK_PASSWORD: _BROKEN,
    ErrorCode.CHALLENGE_UNKNOWN: _BROKEN,
    ErrorCode.REFRESH_LIMIT_REACHED: _BROKEN,
    ErrorCode.INTERNAL: _BROKEN,
}

_INVALID_CLIENT_TEXTS = {
    "missing_id": "Client id was not found in the headers or body",
    "missing_secret": "The client_secret is mandatory for the client_credentials grant type",
}
_MISSING_PARAMETER_TEXTS = {
    "password": "Missing parameters. username and password required",
    "refresh_token": "No refresh_token parameter found",
    "token": "No token parameter found",
}
_FAILURES = {
    400: "invalid_request",
    404: "not_found",
    405: "method_not_allowed",
    408: "invalid_request",
    413: "invalid_request",
    415: "invalid_request",
    429: "temporarily_unavailable",
    500: "server_error",
    503: "temporarily_unavailable",
}


def _error(status: int, error: str, description: str, headers: Mapping[str, str] = NO_STORE) -> web.Response:
    body = {"error": error, "error_description": description}
    return json_response(body, status=status, headers={**NO_STORE, **headers})


def _invalid_request(description: str) -> web.Response:
    return _error(400, "invalid_request", description)


class OAuth2:
    """Paths, errors and handlers of the dialect."""

    name = "oauth2"
    prefixes = ("/oauth", "/otp", "/.well-known")
    cors = None

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def refuse(self, error: Error, request: web.Request) -> web.Response:
        """Translate by the table above."""
        status, word, description = ERRORS[error.code]
        headers: dict[str, str] = {}
        if error.code == ErrorCode.INVALID_CLIENT:
            description = _INVALID_CLIENT_TEXTS.get(error.detail.get("reason", ""), description)
            if self._gateway.settings.oauth2_body_invalid_client_400 and not _is_basic(request):
                status = 400
        elif error.code == ErrorCode.INVALID_REQUEST:
            description = _MISSING_PARAMETER_TEXTS.get(error.detail.get("grant", ""), description)
        elif error.code == ErrorCode.INVALID_TOKEN and error.detail.get("missing"):
            word, description = "access_denied", "OAuth2 authentication required"
        elif error.code == ErrorCode.INVALID_TOKEN and error.detail.get("expired"):
            description = "The access token provided has expired."
        elif scope := error.detail.get("scope"):  # RFC 6750 §3.1
            word, description = "insufficient_scope", "The access token may not do that."
            headers["WWW-Authenticate"] = f'Bearer realm="Service", error="{word}", scope="{scope}"'
        if status == 401 and error.code == ErrorCode.INVALID_CLIENT:
            headers["WWW-Authenticate"] = 'Basic realm="oauth"'
        elif status == 401:
            # No error code for a request that carried no token (RFC 6750 §3.1).
            why = "" if error.detail.get("missing") else f', error="{word}", error_description="{description}"'
            headers["WWW-Authenticate"] = f'Bearer realm="Service"{why}'
        if status in {429, 503}:
            headers["Retry-After"] = retry_after(error)
        return _error(status, word, description, headers)

    def fail(self, status: int, reason: str, headers: Mapping[str, str], _request: web.Request) -> web.Response:
        """Say what went wrong before a handler could."""
        return _error(status, _FAILURES.get(status, "invalid_request"), reason, headers)

    # --- handlers -----------------------------------------------------------------------------------------------------

    async def token(self, request: web.Request) -> web.Response:
        """POST /oauth/v2/token."""
        fields = await self._fields(request)
        call: GrantClientCredentials | GrantPassword | GrantRefreshToken
        match fields.grant_type:
            case None:
                return _invalid_request("Invalid grant_type parameter or parameter missing")
            case "client_credentials":
                call = GrantClientCredentials(**_proof(request, fields))
            case "password":
                await self._gateway.limits.count(request, account=fields.username)
                given = {"username": fields.username, "password": fields.password}
                source = self._gateway.addresses.source(request)
                call = GrantPassword(**_proof(request, fields), **given, source=source)
            case "refresh_token":
                call = GrantRefreshToken(**_proof(request, fields), refresh_token=fields.refresh_token)
            case _:
                return _error(400, "unsupported_grant_type", "The grant type is not supported")
        with self._gateway.guesses.watch(request, call):
            tokens = await self._gateway.bus.call(call)
        return token_response(tokens)

    async def send_code(self, request: web.Request) -> web.Response:
        """POST /otp/send."""
        await self._gateway.bearer.required(request)
        fields = await read_fields(request)
        given = [name for name in ("email", "phone") if fields.get(name) not in (None, "")]
        if len(given) != 1:
            return _unprocessable(
                dict.fromkeys(given or ("email", "phone"), "Exactly one of email and phone is required.")
            )
        name, address = given[0], fields[given[0]]
        if not isinstance(address, str):
            return _unprocessable({name: "This value should be a string."})
        await self._gateway.limits.count(request, account=address)
        try:
            sent = await self._gateway.bus.call(SendCode.model_validate({name: address}))
        except Error as error:
            if error.code == ErrorCode.INVALID_REQUEST and error.detail.get("reason") == "prefix":
                return _unprocessable({name: "No messages are sent to numbers with this prefix."})
            if error.code == ErrorCode.INVALID_REQUEST:
                return _unprocessable({name: f"This value is not a valid {_FIELD_NAMES[name]}."})
            raise
        shown = sent.model_dump(include={"email", "phone"}, exclude_none=True)  # whatever else a newer `identity` says
        return json_response({"data": shown, "meta": []})

    async def revoke(self, request: web.Request) -> web.Response:
        """POST /oauth/v2/revoke (RFC 7009): 200 also for a token that is unknown, expired or another client's."""
        fields = await self._fields(request)
        call = RevokeToken(**_proof(request, fields), token=fields.token)
        with self._gateway.guesses.watch(request, call):
            revoked = await self._gateway.bus.call(call)
        self._gateway.revocations.learn(revoked.revocations)
        return json_response({})

    async def introspect(self, request: web.Request) -> web.Response:
        """POST /oauth/v2/introspect (RFC 7662): what a token says, or only that it is not active."""
        fields = await self._fields(request)
        asked = IntrospectToken(**_proof(request, fields), token=fields.token)
        with self._gateway.guesses.watch(request, asked):
            found = await self._gateway.introspector.introspect(asked)
        return json_response({"active": True, **found.claims} if found.active else {"active": False})

    async def userinfo(self, request: web.Request) -> web.Response:
        """GET and POST /oauth/v2/userinfo (OpenID Connect Core §5.3): who the access token's user is."""
        claims = await self._gateway.bearer.required(request)
        if claims.session_id is None:
            raise Error(ErrorCode.FORBIDDEN, "a client's own token has no user")
        try:
            user = await self._gateway.bus.call(GetUser(user_id=UUID(claims.subject)))
        except Error as error:
            if error.code == ErrorCode.NOT_FOUND:  # deleted a moment ago
                raise Error(ErrorCode.INVALID_TOKEN, "the token's user is no more") from None
            raise
        body = {
            "sub": str(user.id),
            "email": user.email,
            "phone_number": user.phone,
            "preferred_username": user.username,
        }
        return json_response({name: value for name, value in body.items() if value is not None})

    async def _fields(self, request: web.Request) -> TokenRequest:
        try:
            return TokenRequest.model_validate(await read_fields(request))
        except ValidationError as error:
            names = ", ".join(sorted({str(problem["loc"][0]) for problem in error.errors(include_input=False)}))
            raise BodyError(400, f"Not a string: {names}") from None

    # --- routes -------------------------------------------------------------------------------------------------------

    def routes(self) -> list[web.RouteDef]:
        """The paths of the dialect."""
        return [
            web.post("/oauth/v2/token", self.token),
            web.post("/otp/send", self.send_code),
            web.post("/oauth/v2/revoke", self.revoke),
            web.post("/oauth/v2/introspect", self.introspect),
            web.get("/oauth/v2/userinfo", self.userinfo),
            web.post("/oauth/v2/userinfo", self.userinfo),
        ]


_FIELD_NAMES = {"email": "email address", "phone": "phone number"}


def _unprocessable(problems: Mapping[str, str]) -> web.Response:
    return json_response({"errors": {name: [text] for name, text in problems.items()}, "meta": []}, status=422)


def _is_basic(request: web.Request) -> bool:
    return request.headers.get("Authorization", "").partition(" ")[0].lower() == "basic"


def _proof(request: web.Request, fields: TokenRequest) -> dict[str, Any]:
    client_id, client_secret = client_credentials(request, fields)
    return {"client_id": client_id, "client_secret": client_secret, "scope": fields.scope}


def client_credentials(request: web.Request, fields: TokenRequest) -> tuple[str | None, SecretStr | None]:
    """The client's id and secret, from the header (RFC 6749 §2.3.1) or the body.

    Both at once are accepted when they agree; otherwise that is more than one way to authenticate (§5.2), and so are
    several Authorization headers.
    """
    if len(request.headers.getall("Authorization", ())) > 1:  # whoever stands in front may have read another one
        raise BodyError(400, "The request carries several Authorization headers")
    if not _is_basic(request):
        return fields.client_id, fields.client_secret
    encoded = request.headers["Authorization"].partition(" ")[2].strip()
    try:
        name, colon, password = base64.b64decode(encoded, validate=True).decode("utf-8").partition(":")
        client_id, secret = unquote_plus(name, errors="strict"), unquote_plus(password, errors="strict")
    except (binascii.Error, ValueError):
        raise Error(ErrorCode.INVALID_CLIENT, "the Authorization header cannot be read") from None
    if not colon or not is_clean(client_id + secret):
        raise Error(ErrorCode.INVALID_CLIENT, "the Authorization header cannot be read")
    in_body = fields.client_secret.get_secret_value() if fields.client_secret else secret
    if (fields.client_id or client_id) != client_id or in_body != secret:
        raise BodyError(400, "The client authenticates in two ways that differ")
    return client_id, SecretStr(secret)
