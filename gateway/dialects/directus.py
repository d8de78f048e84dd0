"""The `directus` dialect: the authentication of Directus 9, and what clients call of later ones (seeds 003, 004).

| path | what it does | answer |
|---|---|---|
| POST /auth/login | e-mail, password, perhaps `otp` → tokens | `{"data": {access_token, expires, refresh_token}}` |
| POST /auth/refresh | a refresh token → its successor and an access token | the same |
| POST /auth/logout | ends the session of a refresh token | 204 |
| POST /auth/password/request | mails a link by which a password can be reset | 204 |
| POST /auth/password/reset | a new password, by the link's token | 204 |
| GET /auth/oauth…, /auth/login/{provider}… | external providers: gateway/dialects/directus_providers.py | 302 |
| GET /users/me | who the access token's user is | `{"data": {…}}` |
| POST /users/me/tfa/generate | a TOTP secret, by the password | `{"data": {secret, otpauth_url, recovery_codes}}` |
| POST /users/me/tfa/enable, disable | turns TOTP on or off, by an `otp` | 204 |

Oddities, and where they come from (reference: api-contracts §1.4):
- `expires` is in milliseconds, as seed 004 says: seed 003's example of 900 has the official client refresh at once.
- `mode` says where the refresh token goes: `json` into the body, `cookie` into an HttpOnly cookie; `session`, of later
  versions, puts the access token into a cookie as well and leaves `expires` alone in the body.
- `Secure` is on by default, as seed 004 describes; the origin had it off. A setting turns it off for development.
- Old clients send `Authorization: null` or an expired token to /auth/login, refresh and logout: it is not looked at.
- An access token may be given as `?access_token=`; query strings are never logged. Beside a header it must be the same.
- `reset_url` is checked before anything else: the origin looked up the user first, and so told who has an account.
- Suspended users are refused like strangers, and lose their sessions; the origin told them apart, and let them refresh.
- Who fails too often waits for ever longer; the origin suspended the account for good.
- recovery_codes are ours: the origin left a lost authenticator to the administrator.
"""

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from aiohttp import web
from dragoman_verifier import Claims
from pydantic import SecretStr

from gateway.bearer import bearer_text, missing_token
from gateway.body import BodyError
from gateway.cors import CorsPolicy
from gateway.dialects.dialect import Gateway, no_content, retry_after
from gateway.dialects.directus_cookies import Cookies
from gateway.dialects.directus_providers import Providers
from gateway.dialects.directus_wire import (
    Login,
    PasswordRequest,
    PasswordReset,
    Presented,
    TfaDisable,
    TfaEnable,
    TfaGenerate,
    data_response,
    error_response,
    read,
    setup_data,
    user_data,
)
from gateway.dialects.fields import password_problems
from gateway.limits.limits import rfc_3339, session_of
from gateway.reset_urls import LONGEST, may_lead_to
from gateway.stall import Stall
from shared.contracts.identity import (
    DisableTotp,
    EnableTotp,
    GenerateTotp,
    GetUser,
    RequestPasswordReset,
    ResetPassword,
)
from shared.contracts.token import EndSession, GrantRefreshToken, SignIn
from shared.errors import Error, ErrorCode

# Wire models: gateway/dialects/directus_wire.py

# --- errors: every code there is, and what it is called here ----------------------------------------------------------

_CREDENTIALS = (401, "INVALID_CREDENTIALS", "Invalid user credentials.")
_OTP = (401, "INVALID_OTP", "Invalid user OTP.")
_TOKEN = (403, "INVALID_TOKEN", "Invalid token.")
_EXPIRED = (401, "TOKEN_EXPIRED", "Token expired.")
_FORBIDDEN = (403, "FORBIDDEN", "You don't have permission to access this.")
_EXCEEDED = (429, "REQUESTS_EXCEEDED", "Too many requests, retry after {seconds}s.")
_AWAY = (503, "SERVICE_UNAVAILABLE", "The service is temporarily unavailable.")
_BROKEN = (500, "INTERNAL_SERVER_ERROR", "An unexpected error occurred.")

ERRORS: Mapping[ErrorCode, tuple[int, str, str]] = {
    ErrorCode.INVALID_REQUEST: (400, "INVALID_PAYLOAD", "Invalid payload."),
    ErrorCode.INVALID_TOKEN: _TOKEN,
    # Who somebody is: one answer, whatever the reason.
    ErrorCode.NO_SUCH_USER: _CREDENTIALS,
    ErrorCode.WRONG_PASSWORD: _CREDENTIALS,
    ErrorCode.USER_SUSPENDED: _CREDENTIALS,
    ErrorCode.PASSWORD_CHANGE_REQUIRED: _CREDENTIALS,
    # Said only once the password was right.
    ErrorCode.SECOND_FACTOR_REQUIRED: (401, "INVALID_OTP", '"otp" is required'),
    ErrorCode.WRONG_CODE: _OTP,
    ErrorCode.CODE_EXPIRED: _OTP,
    ErrorCode.TOO_MANY_ATTEMPTS: _EXCEEDED,
    ErrorCode.RATE_LIMITED: _EXCEEDED,
    # Which session is nobody's business: its holder signs in again, whatever became of it.
    ErrorCode.SESSION_UNKNOWN: _CREDENTIALS,
    ErrorCode.SESSION_EXPIRED: _CREDENTIALS,
    ErrorCode.SESSION_REVOKED: _CREDENTIALS,
    ErrorCode.SESSION_REPLAYED: _CREDENTIALS,
    ErrorCode.CHALLENGE_UNKNOWN: _CREDENTIALS,  # so does whoever took too long for the second factor
    ErrorCode.WEAK_PASSWORD: (400, "FAILED_VALIDATION", "The password needs: {reasons}."),
    ErrorCode.CONFLICT: (400, "INVALID_PAYLOAD", "TFA is already enabled for this user"),
    ErrorCode.NOT_FOUND: _TOKEN,  # the token's user was deleted a moment ago
    ErrorCode.FEATURE_DISABLED: (403, "FORBIDDEN", "Passwords cannot be reset by e-mail here."),
    ErrorCode.FORBIDDEN: _FORBIDDEN,
    ErrorCode.OVERLOADED: _AWAY,
    ErrorCode.UNAVAILABLE: _AWAY,
    ErrorCode.DEADLINE_EXCEEDED: _AWAY,
    # No operation of this dialect raises these; should one ever, it is our mistake.
    ErrorCode.INVALID_CLIENT: _BROKEN,
    ErrorCode.UNAUTHORIZED_CLIENT: _BROKEN,
    ErrorCode.INVALID_SCOPE: _BROKEN,
    ErrorCode.REFRESH_LIMIT_REACHED: _BROKEN,
    ErrorCode.INTERNAL: _BROKEN,
}

AT_PATH: Mapping[str, Mapping[ErrorCode, tuple[int, str, str]]] = {
    # The link's token is what is wrong here, and no second factor.
    "/auth/password/reset": {ErrorCode.WRONG_CODE: _FORBIDDEN, ErrorCode.CODE_EXPIRED: _EXPIRED},
    "/users/me/tfa/disable": {ErrorCode.NOT_FOUND: (400, "INVALID_PAYLOAD", "TFA is not enabled for this user")},
}

_WRONG: Mapping[str, str] = {"not_generated": "is not from /users/me/tfa/generate, or is too old"}
"""What is wrong with a field, by the reason in an error's detail."""

_EXTENSIONS: Mapping[ErrorCode, tuple[str, ...]] = {
    ErrorCode.RATE_LIMITED: ("limit", "reset"),
    ErrorCode.SECOND_FACTOR_REQUIRED: ("challenge",),
}
"""What of an error's detail is told beside the code."""

_SESSION_OVER = {
    ErrorCode.SESSION_UNKNOWN,
    ErrorCode.SESSION_EXPIRED,
    ErrorCode.SESSION_REVOKED,
    ErrorCode.SESSION_REPLAYED,
}
_FAILURES = {
    404: "ROUTE_NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "CONTENT_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    429: "REQUESTS_EXCEEDED",
    500: "INTERNAL_SERVER_ERROR",
    503: "SERVICE_UNAVAILABLE",
}


class Directus:
    """Paths, errors and handlers of the dialect."""

    name = "directus"
    prefixes = ("/auth", "/users")

    def __init__(self, gateway: Gateway) -> None:
        settings = gateway.settings
        self.cors = CorsPolicy.listed(settings.directus_cors_origins, ("GET", "POST"))
        self._gateway = gateway
        self._bus = gateway.bus
        self._cookies = Cookies(settings, self.cors)
        self._providers = Providers(gateway, self._cookies)
        self._stall = Stall(settings.directus_login_stall_ms / 1000)

    def refuse(self, error: Error, request: web.Request) -> web.Response:
        """Translate by the tables above."""
        status, code, message = AT_PATH.get(request.path, {}).get(error.code) or ERRORS[error.code]
        if error.code == ErrorCode.INVALID_TOKEN and error.detail.get("missing"):
            status, code, message = _CREDENTIALS
        elif error.code == ErrorCode.INVALID_TOKEN and error.detail.get("expired"):
            status, code, message = _EXPIRED
        elif error.code == ErrorCode.INVALID_REQUEST and error.detail.get("field"):
            message = f'"{error.detail["field"]}" {_WRONG.get(str(error.detail.get("reason")), "is invalid")}'
        elif error.code == ErrorCode.WEAK_PASSWORD:
            message = message.format(reasons=", ".join(password_problems(error.detail)))
        headers: dict[str, str] = {}
        if status == 401:  # with an error code only for a token that was sent (RFC 6750 §3.1)
            why = ', error="invalid_token"' if code == "TOKEN_EXPIRED" else ""
            headers["WWW-Authenticate"] = f'Bearer realm="Service"{why}'
        if status in (429, 503):
            headers["Retry-After"] = retry_after(error)
            message = message.format(seconds=headers["Retry-After"])
        more = {name: error.detail[name] for name in _EXTENSIONS.get(error.code, ()) if name in error.detail}
        if error.code == ErrorCode.TOO_MANY_ATTEMPTS and error.retry_after:
            # There is no `limit` to tell: how many failures are free depends on where they come from.
            more["reset"] = rfc_3339(self._gateway.clock.now() + timedelta(seconds=error.retry_after))
        response = error_response(status, code, message, headers, more)
        if error.detail.get("by_cookie"):
            self._cookies.take_back(request, response)
        return self._providers.sent_back(request, response, code)

    def fail(self, status: int, reason: str, headers: Mapping[str, str], request: web.Request) -> web.Response:
        """Say what went wrong before a handler could."""
        if status == 404:
            reason = f"Route {request.rel_url.raw_path[:200]} doesn't exist."
        elif status == 500:
            reason = _BROKEN[2]
        code = _FAILURES.get(status, "INVALID_PAYLOAD")
        return self._providers.sent_back(request, error_response(status, code, reason, headers), code)

    # --- handlers: signing in and out ---------------------------------------------------------------------------------

    async def login(self, request: web.Request) -> web.Response:
        """POST /auth/login."""
        async with self._stall.failures():
            body = await read(Login, request)
            self._cookies.refuse_strangers(request, will_set=body.mode != "json")
            await self._gateway.limits.count(request, account=body.email)
            if "@" not in body.email:  # other names would do elsewhere, but here it is an e-mail address
                raise Error(ErrorCode.NO_SUCH_USER, "not an e-mail address")
            call = SignIn(
                dialect="directus",
                identifier=body.email,
                password=body.password,
                code=body.otp,
                source=self._gateway.addresses.source(request),
            )
            signed_in = await self._bus.call(call)
            if signed_in.tokens is None:
                raise Error(ErrorCode.PASSWORD_CHANGE_REQUIRED, "something is to be done first, which cannot be here")
        return self._cookies.answer(signed_in.tokens, body.mode)

    async def refresh(self, request: web.Request) -> web.Response:
        """POST /auth/refresh."""
        body = await read(Presented, request)
        token, by_cookie = self._presented(body, request)
        mode = body.mode or ("cookie" if by_cookie else "json")
        self._cookies.refuse_strangers(request, will_set=mode != "json")
        await self._gateway.limits.count(request, account=session_of(token.get_secret_value()))
        try:
            tokens = await self._bus.call(GrantRefreshToken(dialect="directus", refresh_token=token))
        except Error as error:
            # Only the server can remove such a cookie. It stays where asking again may help.
            if by_cookie and error.code in _SESSION_OVER:
                error.detail["by_cookie"] = True
            raise
        response = self._cookies.answer(tokens, mode)
        if by_cookie and mode == "json":  # else the cookie would keep the token that has just been used
            self._cookies.take_back(request, response)
        return response

    async def logout(self, request: web.Request) -> web.Response:
        """POST /auth/logout: 204 also for a token that is unknown."""
        body = await read(Presented, request)
        token, _ = self._presented(body, request)
        self._cookies.refuse_strangers(request)
        await self._gateway.end_session(EndSession(dialect="directus", refresh_token=token))
        response = no_content()
        self._cookies.take_back(request, response)
        return response

    def _presented(self, body: Presented, request: web.Request) -> tuple[SecretStr, bool]:
        """The refresh token of the body or else of the cookie, and whether it is the cookie's."""
        if body.refresh_token is not None:
            return body.refresh_token, False
        token = self._cookies.refresh_token(request)
        if token is None:
            raise BodyError(400, '"refresh_token" is required in either the JSON payload or Cookie')
        return SecretStr(token), True

    # --- handlers: forgotten passwords --------------------------------------------------------------------------------

    async def request_password(self, request: web.Request) -> web.Response:
        """POST /auth/password/request: 204 for everybody, after the same time."""
        async with self._stall.every_answer():
            body = await read(PasswordRequest, request)
            await self._gateway.limits.count(request, account=body.email)
            settings = self._gateway.settings
            if body.reset_url and not may_lead_to(body.reset_url, settings.directus_password_reset_url_allow_list):
                raise BodyError(400, f'Url "{body.reset_url[:LONGEST]}" can\'t be used to reset passwords.')
            if "@" in body.email:
                page = body.reset_url or settings.directus_reset_page
                await self._bus.call(RequestPasswordReset(identifier=body.email, reset_url=page))
        return no_content()

    async def reset_password(self, request: web.Request) -> web.Response:
        """POST /auth/password/reset."""
        body = await read(PasswordReset, request)
        await self._gateway.limits.count(request, account=body.token.get_secret_value())
        await self._bus.call(ResetPassword(proof=body.token, new_password=body.password))
        return no_content()

    # --- handlers: the user's own account -----------------------------------------------------------------------------

    async def me(self, request: web.Request) -> web.Response:
        """GET /users/me; a token of any dialect will do."""
        claims = await self._user_token(request)
        user = await self._bus.call(GetUser(user_id=UUID(claims.subject)))
        if user.state == "suspended":  # a moment ago: the news of it has not come yet
            raise Error(ErrorCode.INVALID_TOKEN, "the token's user is suspended")
        return data_response(user_data(user))

    async def generate_tfa(self, request: web.Request) -> web.Response:
        """POST /users/me/tfa/generate."""
        user_id = await self._own_user(request)
        body = await read(TfaGenerate, request)
        await self._gateway.limits.count(request, account=str(user_id))
        setup = await self._bus.call(GenerateTotp(user_id=user_id, password=body.password))
        return data_response(setup_data(setup))

    async def enable_tfa(self, request: web.Request) -> web.Response:
        """POST /users/me/tfa/enable."""
        user_id = await self._own_user(request)
        body = await read(TfaEnable, request)
        await self._gateway.limits.count(request, account=str(user_id))
        await self._bus.call(EnableTotp(user_id=user_id, secret=body.secret, code=body.otp))
        return no_content()

    async def disable_tfa(self, request: web.Request) -> web.Response:
        """POST /users/me/tfa/disable."""
        user_id = await self._own_user(request)
        body = await read(TfaDisable, request)
        await self._gateway.limits.count(request, account=str(user_id))
        await self._bus.call(DisableTotp(user_id=user_id, code=body.otp))
        return no_content()

    async def _own_user(self, request: web.Request) -> UUID:
        """The user of a token of this dialect; nothing else changes a second factor here."""
        self._cookies.refuse_strangers(request)
        claims = await self._user_token(request)
        if claims.client_id != self.name:
            raise Error(ErrorCode.FORBIDDEN, "the token is of another dialect")
        return UUID(claims.subject)

    async def _user_token(self, request: web.Request) -> Claims:
        """The claims of the access token that the header, the query or the session cookie gives."""
        queried = request.query.getall("access_token", [])
        given = {token for token in (*queried, bearer_text(request)) if token}
        if len(queried) > 1 or len(given) > 1:
            raise BodyError(400, "The request carries more than one access token")
        token = given.pop() if given else self._cookies.access_token(request)
        if token is None:
            raise missing_token()
        claims = await self._gateway.bearer.verify_text(token)
        if claims.session_id is None:
            raise Error(ErrorCode.FORBIDDEN, "a client's own token has no user")
        return claims

    # --- routes -------------------------------------------------------------------------------------------------------

    def routes(self) -> list[web.RouteDef]:
        """The paths of the dialect."""
        return [
            web.post("/auth/login", self.login),
            web.post("/auth/refresh", self.refresh),
            web.post("/auth/logout", self.logout),
            web.post("/auth/password/request", self.request_password),
            web.post("/auth/password/reset", self.reset_password),
            *self._providers.routes(),
            web.get("/users/me", self.me),
            web.post("/users/me/tfa/generate", self.generate_tfa),
            web.post("/users/me/tfa/enable", self.enable_tfa),
            web.post("/users/me/tfa/disable", self.disable_tfa),
        ]
