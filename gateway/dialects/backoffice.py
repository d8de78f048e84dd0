"""The `backoffice` dialect: sign-in to a Back Office with a second step (seed 001).

| path | what it does | answer |
|---|---|---|
| POST /api/v2/signin | e-mail and password | tokens, or what the second factor needs |
| POST /api/v2/2fa/confirm | proves the second factor | tokens |
| POST /api/v2/refresh | new tokens for a refresh token, which works once | tokens |
| POST /api/v2/signout | ends the session of the access token | `{}` |

Oddities, and where they come from (reference: api-contracts §1.2):
- JSON whatever Content-Type says: the seed's curl examples label it a form.
- `2faRequired` is there at sign-in only; a key that does not apply is absent, not null: the seed.
- Times are RFC 3339 with `+00:00` and without fraction: the seed. `expiresAt` is the token's `exp`, to the second.
- `provider` can also be `totp`, of which the seed knows nothing: the factor is the user's, not the dialect's.
- The origin's error bodies are undocumented; ours have the status as `code`, and `errors` by field for a 422.
- Each path has one answer to whatever is wrong with a proof, so that nobody learns who has an account.
- Too many sign-ins, confirmations or refreshes in a minute: 429 for ten minutes, to right ones too: the seed. All else
  that is counted, and how operators change it: gateway/limits/rules.py.
- Signing out twice is a 401, as the seed wants it of a revoked token, also before the news of the first got around.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from aiohttp import web
from pydantic import Field, SecretStr

from gateway.body import read_fields
from gateway.dialects.dialect import NO_STORE, Gateway, json_response, own_session, retry_after
from gateway.dialects.fields import Fields, SecretText, Text, parse
from gateway.limits.limits import session_of
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


class SignInFields(Fields):
    """The body of a sign-in."""

    email: Text
    password: SecretText


class ConfirmFields(Fields):
    """The body of the second step: the token of the first, and the code that proves the factor."""

    token: SecretText
    code: SecretText


class RefreshFields(Fields):
    """The body of a refresh."""

    refresh_token: SecretText = Field(alias="refreshToken")


def sign_in_body(signed_in: SignedIn) -> dict[str, Any]:
    """Tokens, or the second factor that comes first."""
    challenge = signed_in.challenge
    if challenge is None:
        return {"2faRequired": False, **token_body(signed_in.tokens)}
    if challenge.token is None or challenge.expires_at is None:
        raise Error(ErrorCode.INTERNAL, "the challenge cannot be answered in this dialect")
    details = {
        "token": challenge.token.get_secret_value(),
        "provider": challenge.factor,
        "expiresAt": _moment(challenge.expires_at),
    }
    return {"2faRequired": True, "2faDetails": details}


def token_body(tokens: TokenSet | None) -> dict[str, Any]:
    """The access token and the refresh token, each with its times."""
    if tokens is None or tokens.refresh_token is None or tokens.refresh_expires_in is None:
        raise Error(ErrorCode.INTERNAL, "a session was asked for and not given")
    return {
        "accessToken": _token(tokens.access_token, tokens.issued_at, tokens.expires_in),
        "refreshToken": _token(tokens.refresh_token, tokens.issued_at, tokens.refresh_expires_in),
    }


def _token(token: SecretStr, created_at: datetime, seconds: int) -> dict[str, str]:
    return {
        "token": token.get_secret_value(),
        "createdAt": _moment(created_at),
        "expiresAt": _moment(created_at + timedelta(seconds=seconds)),
    }


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


# --- errors: every code there is, and what it is called here ----------------------------------------------------------

_REFUSED = (401, "Unauthorized.")
_AWAY = (503, "The service is temporarily unavailable.")
_BROKEN = (500, "Something went wrong on our side.")

ERRORS: Mapping[ErrorCode, tuple[int, str]] = {
    ErrorCode.INVALID_REQUEST: (422, "The given data was invalid."),
    # Whatever is wrong with a proof: one answer for each path, below.
    ErrorCode.NO_SUCH_USER: _REFUSED,
    ErrorCode.WRONG_PASSWORD: _REFUSED,
    ErrorCode.USER_SUSPENDED: _REFUSED,
    ErrorCode.PASSWORD_CHANGE_REQUIRED: _REFUSED,
    ErrorCode.SECOND_FACTOR_REQUIRED: _REFUSED,
    ErrorCode.CHALLENGE_UNKNOWN: _REFUSED,
    ErrorCode.WRONG_CODE: _REFUSED,
    ErrorCode.CODE_EXPIRED: _REFUSED,
    ErrorCode.SESSION_UNKNOWN: _REFUSED,
    ErrorCode.SESSION_EXPIRED: _REFUSED,
    ErrorCode.SESSION_REVOKED: _REFUSED,
    ErrorCode.SESSION_REPLAYED: _REFUSED,
    ErrorCode.INVALID_TOKEN: _REFUSED,
    ErrorCode.TOO_MANY_ATTEMPTS: (429, "Too many attempts. Please try again later."),
    ErrorCode.RATE_LIMITED: (429, "Too many requests. Please try again later."),
    ErrorCode.OVERLOADED: _AWAY,
    ErrorCode.UNAVAILABLE: _AWAY,
    ErrorCode.DEADLINE_EXCEEDED: _AWAY,
    # No operation of this dialect raises these; should one ever, it is our mistake.
    ErrorCode.INVALID_CLIENT: _BROKEN,
    ErrorCode.UNAUTHORIZED_CLIENT: _BROKEN,
    ErrorCode.INVALID_SCOPE: _BROKEN,
    ErrorCode.WEAK_PASSWORD: _BROKEN,
    ErrorCode.FEATURE_DISABLED: _BROKEN,
    ErrorCode.REFRESH_LIMIT_REACHED: _BROKEN,
    ErrorCode.NOT_FOUND: _BROKEN,
    ErrorCode.CONFLICT: _BROKEN,
    ErrorCode.FORBIDDEN: _BROKEN,
    ErrorCode.INTERNAL: _BROKEN,
}

REFUSALS: Mapping[str, str] = {
    "/api/v2/signin": "Invalid email or password.",
    "/api/v2/2fa/confirm": "Invalid or expired verification code.",
    "/api/v2/refresh": "Invalid or expired refresh token.",
    "/api/v2/signout": "Invalid or expired access token.",
}


def _error(
    status: int, message: str, headers: Mapping[str, str] = NO_STORE, errors: Mapping[str, list[str]] | None = None
) -> web.Response:
    body = {"code": status, "message": message, "errors": errors or {}}
    return json_response(body, status=status, headers={**NO_STORE, **headers})


class BackOffice:
    """Paths, errors and handlers of the dialect."""

    name: Final = "backoffice"
    prefixes = ("/api",)
    cors = None

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def refuse(self, error: Error, request: web.Request) -> web.Response:
        """Translate by the tables above."""
        status, message = ERRORS[error.code]
        headers: dict[str, str] = {}
        if status == 401:
            message = REFUSALS.get(request.path, message)
            # No error code for a request that carried no token (RFC 6750 §3.1).
            given = error.code == ErrorCode.INVALID_TOKEN and not error.detail.get("missing")
            headers["WWW-Authenticate"] = 'Bearer realm="Back Office"' + (', error="invalid_token"' if given else "")
        elif status in {429, 503}:
            headers["Retry-After"] = retry_after(error)
        problems = error.detail.get("fields", {}) if status == 422 else {}
        return _error(status, message, headers, {name: [text] for name, text in problems.items()})

    def fail(self, status: int, reason: str, headers: Mapping[str, str], _request: web.Request) -> web.Response:
        """Say what went wrong before a handler could."""
        return _error(status, f"{reason}.", headers)

    # --- handlers -----------------------------------------------------------------------------------------------------

    async def sign_in(self, request: web.Request) -> web.Response:
        """POST /api/v2/signin."""
        fields = parse(SignInFields, await read_fields(request, any_label=True))
        await self._gateway.limits.count(request, account=fields.email)
        source = self._gateway.addresses.source(request)
        call = SignIn(dialect=self.name, identifier=fields.email, password=fields.password, source=source)
        return json_response(sign_in_body(await self._gateway.bus.call(call)))

    async def confirm(self, request: web.Request) -> web.Response:
        """POST /api/v2/2fa/confirm."""
        fields = parse(ConfirmFields, await read_fields(request, any_label=True))
        token = _challenge_token(fields.token)
        await self._gateway.limits.count(request, account=token.get_secret_value())
        call = ContinueSignIn(
            dialect=self.name,
            kind="second_factor",
            token=token,
            code=fields.code,
            source=self._gateway.addresses.source(request),
        )
        return json_response(token_body((await self._gateway.bus.call(call)).tokens))

    async def refresh(self, request: web.Request) -> web.Response:
        """POST /api/v2/refresh."""
        fields = parse(RefreshFields, await read_fields(request, any_label=True))
        await self._gateway.limits.count(request, account=session_of(fields.refresh_token.get_secret_value()))
        call = GrantRefreshToken(dialect=self.name, refresh_token=fields.refresh_token)
        return json_response(token_body(await self._gateway.bus.call(call)))

    async def sign_out(self, request: web.Request) -> web.Response:
        """POST /api/v2/signout: whatever the body holds is not read."""
        session_id = own_session(await self._gateway.bearer.required(request), self.name)
        if not await self._gateway.end_session(EndSession(dialect=self.name, session_id=session_id)):
            raise Error(ErrorCode.INVALID_TOKEN, "the session had ended before")
        return json_response({})

    # --- routes -------------------------------------------------------------------------------------------------------

    def routes(self) -> list[web.RouteDef]:
        """The paths of the dialect."""
        return [
            web.post("/api/v2/signin", self.sign_in),
            web.post("/api/v2/2fa/confirm", self.confirm),
            web.post("/api/v2/refresh", self.refresh),
            web.post("/api/v2/signout", self.sign_out),
        ]


def _challenge_token(token: SecretStr) -> SecretStr:
    """The token in its one canonical form, so that no other form of it counts as another token."""
    try:
        return SecretStr(str(UUID(token.get_secret_value())))
    except ValueError:
        raise Error(ErrorCode.CHALLENGE_UNKNOWN, "no token of a challenge: not a UUID") from None
