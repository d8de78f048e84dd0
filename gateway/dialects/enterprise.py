"""The `enterprise` dialect: accounts and tokens in the manner of Cognito, for programs (seed 002).

| path | what it does | answer |
|---|---|---|
| POST /v1/login | username and password | tokens, or a challenge |
| POST /v1/new-password-required | answers the challenge NEW_PASSWORD_REQUIRED | tokens |
| POST /v1/token-refresh | new access and id tokens; the refresh token stays | tokens |
| POST /v1/token-revoke | ends the session of a refresh token with all its access tokens | 204 |
| POST /v1/forgot-password | sends a code by e-mail | 204 |
| POST /v1/forgot-password-confirm | sets a new password by that code | 204 |
| POST /v1/change-password | sets a new password by the old one | 204 |

Oddities, and where they come from (reference: api-contracts §1.3):
- JSON, forms and multipart all bind: the origin's framework does that.
- The refresh token is not rotated, since the official clients keep the first one; it yields a limited number of tokens.
- `expires_in` is 86400, as the seed's text has it and the clients assume, not the 300 of its examples.
- A second factor has no path here: `challenge_name` says which one it is, and nothing else is given.
- A 422 says what is wrong; the origin says "Internal error".
- Passwords may be as long at login as everywhere (1024), though the origin stops at 255: a user whose password was set
  through another dialect, or by change-password with its 256, could not sign in otherwise.
- forgot-password is 204 for unknown users too; the origin tells them apart.
- A weak password is a 401 in the origin's words, but for change-password, which has one answer to everything.
- Any web page may call, without cookies: the origin's.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final
from uuid import UUID

from aiohttp import web
from pydantic import Field, SecretStr

from gateway.body import read_fields
from gateway.cors import CorsPolicy
from gateway.dialects.dialect import NO_STORE, Gateway, json_response, no_content, own_session, retry_after
from gateway.dialects.fields import Fields, FieldsT, SecretText, parse, password_problems
from gateway.limits.limits import session_of
from shared.contracts.identity import ChangePassword, RequestPasswordReset, ResetPassword
from shared.contracts.token import (
    ContinueSignIn,
    EndSession,
    GrantRefreshToken,
    SignedIn,
    SignIn,
    TokenSet,
)
from shared.errors import Error, ErrorCode

# --- wire models ------------------------------------------------------------------------------------------------------

Username = Annotated[str, Field(min_length=1, max_length=255)]
NewPassword = Annotated[SecretStr, Field(min_length=6, max_length=256)]


class LoginFields(Fields):
    """The body of a login."""

    username: Username
    password: SecretText


class NewPasswordFields(Fields):
    """The body of the answer to NEW_PASSWORD_REQUIRED."""

    session: SecretText
    username: Username
    new_password: NewPassword


class RefreshFields(Fields):
    """The body of a refresh: the token, and whose it is."""

    username: Username
    refresh_token: SecretText


class RevokeFields(Fields):
    """The body of a revocation."""

    refresh_token: SecretText


class ForgotFields(Fields):
    """The body of a request for a code."""

    username: Username


class ForgotConfirmFields(Fields):
    """The body of a new password by code; how good it is the policy says."""

    username: Username
    password: Annotated[SecretStr, Field(min_length=1, max_length=255)]
    confirmation_code: Annotated[SecretStr, Field(min_length=1, max_length=2048)]


class ChangeFields(Fields):
    """The body of a new password by the old one."""

    access_token: SecretText
    previous_password: SecretText
    proposed_password: NewPassword


_FACTOR_CHALLENGES = {"email": "EMAIL_OTP", "totp": "SOFTWARE_TOKEN_MFA"}


def sign_in_body(signed_in: SignedIn) -> dict[str, Any]:
    """Tokens or a challenge; what there is not is left out."""
    challenge = signed_in.challenge
    if challenge is None:
        return token_body(signed_in.tokens)
    if challenge.kind == "second_factor":
        return {"challenge_name": _FACTOR_CHALLENGES[challenge.factor or "totp"]}
    if challenge.token is None:
        raise Error(ErrorCode.INTERNAL, "the challenge cannot be answered in this dialect")
    return {"challenge_name": "NEW_PASSWORD_REQUIRED", "session": challenge.token.get_secret_value()}


def token_body(tokens: TokenSet | None) -> dict[str, Any]:
    """The tokens in the seed's order; a refresh yields no refresh token."""
    if tokens is None or tokens.id_token is None:
        raise Error(ErrorCode.INTERNAL, "a session was asked for and not given")
    body: dict[str, Any] = {
        "id_token": tokens.id_token.get_secret_value(),
        "access_token": tokens.access_token.get_secret_value(),
    }
    if tokens.refresh_token is not None:
        body["refresh_token"] = tokens.refresh_token.get_secret_value()
    return {**body, "expires_in": tokens.expires_in}


# --- errors: every code there is, and what it is called here ----------------------------------------------------------

_PASSWORD_REFUSED = (401, "Incorrect username or password.")
_UNAUTHORIZED = (401, "Unauthorized.")
_AWAY = (503, "Service unavailable, please try again later.")
_BROKEN = (500, "Internal error, please try again later.")

ERRORS: Mapping[ErrorCode, tuple[int, str]] = {
    ErrorCode.INVALID_REQUEST: (422, "The request is missing a field or has a wrong one."),
    # Who somebody is: one answer, whatever the reason.
    ErrorCode.NO_SUCH_USER: _PASSWORD_REFUSED,
    ErrorCode.WRONG_PASSWORD: _PASSWORD_REFUSED,
    ErrorCode.USER_SUSPENDED: _PASSWORD_REFUSED,
    ErrorCode.PASSWORD_CHANGE_REQUIRED: _PASSWORD_REFUSED,
    ErrorCode.NOT_FOUND: _PASSWORD_REFUSED,
    ErrorCode.INVALID_TOKEN: _PASSWORD_REFUSED,
    # Which session, and which challenge: likewise.
    ErrorCode.SESSION_UNKNOWN: _UNAUTHORIZED,
    ErrorCode.SESSION_EXPIRED: _UNAUTHORIZED,
    ErrorCode.SESSION_REVOKED: _UNAUTHORIZED,
    ErrorCode.SESSION_REPLAYED: _UNAUTHORIZED,
    ErrorCode.CHALLENGE_UNKNOWN: _UNAUTHORIZED,
    ErrorCode.SECOND_FACTOR_REQUIRED: _UNAUTHORIZED,
    ErrorCode.WRONG_CODE: (401, "CodeMismatchException: Invalid verification code provided, please try again."),
    ErrorCode.CODE_EXPIRED: (401, "ExpiredCodeException: Invalid code provided, please request a code again."),
    ErrorCode.WEAK_PASSWORD: (401, "InvalidPasswordException: Password did not conform with policy: {reasons}."),
    ErrorCode.TOO_MANY_ATTEMPTS: (429, "Attempt limit exceeded, please try after some time."),
    ErrorCode.RATE_LIMITED: (429, "Too many requests, please try after some time."),
    ErrorCode.REFRESH_LIMIT_REACHED: (429, "Refresh tokens limit has been exceeded."),
    ErrorCode.FEATURE_DISABLED: (503, "Passwords cannot be reset by e-mail here."),
    ErrorCode.OVERLOADED: _AWAY,
    ErrorCode.UNAVAILABLE: _AWAY,
    ErrorCode.DEADLINE_EXCEEDED: _AWAY,
    # No operation of this dialect raises these; should one ever, it is our mistake.
    ErrorCode.INVALID_CLIENT: _BROKEN,
    ErrorCode.UNAUTHORIZED_CLIENT: _BROKEN,
    ErrorCode.INVALID_SCOPE: _BROKEN,
    ErrorCode.CONFLICT: _BROKEN,
    ErrorCode.FORBIDDEN: _BROKEN,
    ErrorCode.INTERNAL: _BROKEN,
}

ELSEWHERE: Mapping[tuple[str, ErrorCode], tuple[int, str]] = {
    ("/v1/token-revoke", ErrorCode.SESSION_UNKNOWN): (401, "Unauthorized"),  # without its full stop: the origin's
    ("/v1/change-password", ErrorCode.WEAK_PASSWORD): _PASSWORD_REFUSED,
}
"""Where one path has another answer."""

_FAILURES = {404: "Not Found", 405: "Method Not Allowed", 500: _BROKEN[1], 503: _AWAY[1]}


def _error(status: int, message: str, headers: Mapping[str, str]) -> web.Response:
    return json_response({"status": status, "message": message}, status=status, headers={**NO_STORE, **headers})


class Enterprise:
    """Paths, errors and handlers of the dialect."""

    name: Final = "enterprise"
    prefixes = ("/v1",)
    cors = CorsPolicy(origins=None, methods=("GET", "POST", "OPTIONS", "HEAD"))

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def refuse(self, error: Error, request: web.Request) -> web.Response:
        """Translate by the tables above."""
        status, message = ELSEWHERE.get((request.path, error.code)) or ERRORS[error.code]
        headers: dict[str, str] = {}
        if status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="Enterprise"'
        elif status in {429, 503}:
            headers["Retry-After"] = retry_after(error)
        if error.code == ErrorCode.WEAK_PASSWORD:
            message = message.format(reasons=", ".join(password_problems(error.detail)))
        elif fields := error.detail.get("fields"):
            message = " ".join(f"{name}: {text}" for name, text in fields.items())
        return _error(status, message, headers)

    def fail(self, status: int, reason: str, headers: Mapping[str, str], _request: web.Request) -> web.Response:
        """Say what went wrong before a handler could."""
        return _error(status, _FAILURES.get(status, f"{reason}."), headers)

    # --- handlers -----------------------------------------------------------------------------------------------------

    async def login(self, request: web.Request) -> web.Response:
        """POST /v1/login."""
        fields = await _fields(LoginFields, request)
        await self._gateway.limits.count(request, account=fields.username)
        source = self._gateway.addresses.source(request)
        call = SignIn(dialect=self.name, identifier=fields.username, password=fields.password, source=source)
        return json_response(sign_in_body(await self._gateway.bus.call(call)))

    async def new_password_required(self, request: web.Request) -> web.Response:
        """POST /v1/new-password-required."""
        fields = await _fields(NewPasswordFields, request)
        await self._gateway.limits.count(request, account=fields.username)
        call = ContinueSignIn(
            dialect=self.name,
            kind="new_password",
            token=fields.session,
            new_password=fields.new_password,
            identifier=fields.username,
            source=self._gateway.addresses.source(request),
        )
        return json_response(token_body((await self._gateway.bus.call(call)).tokens))

    async def token_refresh(self, request: web.Request) -> web.Response:
        """POST /v1/token-refresh."""
        fields = await _fields(RefreshFields, request)
        await self._gateway.limits.count(request, account=session_of(fields.refresh_token.get_secret_value()))
        call = GrantRefreshToken(dialect=self.name, refresh_token=fields.refresh_token, username=fields.username)
        return json_response(token_body(await self._gateway.bus.call(call)))

    async def token_revoke(self, request: web.Request) -> web.Response:
        """POST /v1/token-revoke."""
        fields = await _fields(RevokeFields, request)
        call = EndSession(dialect=self.name, refresh_token=fields.refresh_token)
        if not await self._gateway.end_session(call):
            raise Error(ErrorCode.SESSION_UNKNOWN, "no live session has this refresh token")
        return no_content()

    async def forgot_password(self, request: web.Request) -> web.Response:
        """POST /v1/forgot-password: the same for users whom there is and whom there is not."""
        fields = await _fields(ForgotFields, request)
        await self._gateway.limits.count(request, account=fields.username)
        await self._gateway.bus.call(RequestPasswordReset(identifier=fields.username))
        return no_content()

    async def forgot_password_confirm(self, request: web.Request) -> web.Response:
        """POST /v1/forgot-password-confirm."""
        fields = await _fields(ForgotConfirmFields, request)
        await self._gateway.limits.count(request, account=fields.username)
        call = ResetPassword(
            identifier=fields.username,
            proof=fields.confirmation_code,
            new_password=fields.password,
            source=self._gateway.addresses.source(request),
        )
        await self._gateway.bus.call(call)
        return no_content()

    async def change_password(self, request: web.Request) -> web.Response:
        """POST /v1/change-password: the access token is in the body, and has to be one of this dialect."""
        fields = await _fields(ChangeFields, request)
        claims = await self._gateway.bearer.verify_text(fields.access_token.get_secret_value())
        own_session(claims, self.name)
        await self._gateway.limits.count(request, account=claims.subject)
        call = ChangePassword(
            user_id=UUID(claims.subject),
            password=fields.previous_password,
            new_password=fields.proposed_password,
        )
        await self._gateway.bus.call(call)
        return no_content()

    # --- routes -------------------------------------------------------------------------------------------------------

    def routes(self) -> list[web.RouteDef]:
        """The paths of the dialect."""
        return [
            web.post("/v1/login", self.login),
            web.post("/v1/new-password-required", self.new_password_required),
            web.post("/v1/token-refresh", self.token_refresh),
            web.post("/v1/token-revoke", self.token_revoke),
            web.post("/v1/forgot-password", self.forgot_password),
            web.post("/v1/forgot-password-confirm", self.forgot_password_confirm),
            web.post("/v1/change-password", self.change_password),
        ]


async def _fields(model: type[FieldsT], request: web.Request) -> FieldsT:
    return parse(model, await read_fields(request, multipart=True))
